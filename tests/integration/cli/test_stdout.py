"""A save to /dev/stdout goes behind what stdout holds, and nothing is mixed into it."""

import subprocess
from pathlib import Path

import pytest

from tests.support.shell import Shell, environment


def test_save_is_appended_to_what_stdout_holds(shell: Shell, tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"held before\n")
    with shell.guest("small", memory_mib=4), path.open("ab") as file:
        argv = shell.command("save", "small", "/dev/stdout")
        subprocess.run(
            argv, stdout=file, stderr=subprocess.PIPE, env=environment(), check=True
        )
    held, image = path.read_bytes().split(b"\n", 1)
    assert held == b"held before"
    (tmp_path / "image").write_bytes(image)
    shell.good("verify", tmp_path / "image")
    assert {each.name for each in tmp_path.iterdir()} == {"log", "image"}


@pytest.mark.parametrize("option", ["--json", "-c"])
def test_what_is_printed_is_not_mixed_into_a_save(
    shell: Shell, tmp_path: Path, option: str
) -> None:
    path = tmp_path / "out"
    with shell.guest("small", memory_mib=4), path.open("wb") as file:
        argv = shell.command("save", option, "small", "/dev/stdout")
        stderr = subprocess.PIPE if option == "--json" else subprocess.STDOUT
        done = subprocess.run(
            argv, stdout=file, stderr=stderr, env=environment(), check=False
        )
        assert shell.facts("small")
    assert done.returncode == 1
    said = (done.stderr or b"") + path.read_bytes()
    assert b"goes there, too; send that elsewhere" in said
