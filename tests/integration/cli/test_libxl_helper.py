"""`xlpy save --helper`, with the drop-in as Xen's own helper."""

import sys
from pathlib import Path

import pytest

from tests.support.libxl_helpers import DROP_IN, liar_program, program
from tests.support.shell import Shell


@pytest.fixture
def shell_drop_in(shell: Shell, tmp_path: Path) -> str:
    """The drop-in on the host of these commands."""

    text = DROP_IN.format(python=sys.executable, host=str(shell.host))
    return program(tmp_path / "libxl-save-helper", text)


@pytest.mark.parametrize("type", ["pv", "hvm"])
def test_what_was_saved_is_restored(
    shell: Shell, tmp_path: Path, shell_drop_in: str, type: str
) -> None:
    image = tmp_path / "image"
    with shell.guest("web", type=type):
        before = shell.facts("web")
        done = shell.run("-v", "save", "--helper", shell_drop_in, "web", image)
        assert done.returncode == 0, done.stderr
        assert "libxlpy-save-helper: complete r=0" in done.stderr
        assert shell.facts("web") == {}
        assert shell.json("verify", "--json", image)["name"] == "web"
        shell.good("restore", image)
        after = shell.facts("web")
        assert after["guest_id"] == before["guest_id"]
        assert shell.json("sim", "verify", "--json", "web")["match"]


def test_liar_is_one_line_and_the_guest_runs(shell: Shell, tmp_path: Path) -> None:
    image = tmp_path / "image"
    liar = liar_program(tmp_path / "liar", "unknown_number")
    with shell.guest("web"):
        line = shell.bad("save", "--helper", liar, "web", image)
        assert "helper broke the protocol: no message has the number 11" in line
        assert "guest is running" in line
        assert shell.facts("web")["running"]
    assert not image.exists()


def test_no_program_is_one_line(shell: Shell, tmp_path: Path) -> None:
    with shell.guest("web"):
        arguments = ("save", "--helper", "libxl:/nowhere", "web", tmp_path / "image")
        assert "/nowhere: No such file" in shell.bad(*arguments)
