"""`xlpy sim`: domains of every kind, told as asked for."""

import tempfile
from pathlib import Path

import pytest

from tests.support.shell import Shell


def test_a_domain_is_what_its_options_say(shell: Shell) -> None:
    options = ["--type", "hvm", "--memory", 8, "--vcpus", 3, "--rate", "full"]
    tracking = ["--tracker", "bitmap", "--pattern", "hot", "--hot-pages", 7]
    domid = int(shell.good("sim", "create", "win", *options, *tracking, "--paused"))
    facts = shell.facts("win")
    assert (facts["domid"], facts["type"], facts["paused"]) == (domid, "hvm", True)
    assert (facts["memory_mib"], facts["vcpus"]) == (8, 3)
    head, row = shell.good("sim", "list").splitlines()
    assert head.split()[:5] == ["Name", "ID", "Type", "Mem", "State"]
    assert row.split()[:5] == ["win", str(domid), "hvm", "8", "paused"]
    shell.good("sim", "destroy", "win")
    assert shell.domains() == []


@pytest.mark.parametrize("type", ["pv", "hvm"])
def test_sound_memory_is_verified(shell: Shell, type: str) -> None:
    with shell.guest("web", type=type):
        text = shell.good("sim", "verify", "web")
        assert text == "4,096 pages checked, 0 bad, digest matches\n"


def test_unknown_domains_are_named(shell: Shell) -> None:
    for command in ("destroy", "verify"):
        line = shell.bad("sim", command, "nobody")
        assert line == "xlpy: no such domain: nobody (see `xlpy sim list`)"


def test_a_stopped_host_leaves_nothing() -> None:
    with tempfile.TemporaryDirectory(prefix="xlpy-cli-") as name:
        other = Shell(Path(name) / "host")
        assert other.good("sim", "start") == f"{other.host}\n"
        other.good("sim", "create", "web", "--memory", 4)
        assert other.good("sim", "stop") == ""
        assert not other.host.exists()
        assert "no simxen host runs in" in other.bad("sim", "stop")


def test_a_domain_that_is_destroyed_under_its_save_names_the_job(
    shell: Shell, tmp_path: Path
) -> None:
    image = tmp_path / "image"
    with shell.guest("web") as domid:
        shell.ask("misbehave", domid=domid, fault="never_suspend")
        save = shell.running("save", "--json", "web", image)
        with save as saving:
            saving.until_phase("suspend")
            done = shell.run("sim", "destroy", "web")
            line = saving.failure(1)
    told = f"xlpy: domain {domid} was destroyed under save-{domid}-"
    assert done.returncode == 0
    assert done.stderr.startswith(told)
    assert done.stderr.count("\n") == 1
    assert line.endswith(f"guest is gone; {image} not written")
    assert list(tmp_path.iterdir()) == []
    with shell.guest("web"):
        assert shell.run("sim", "destroy", "web").stderr == ""


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--memory", 1), "--memory must be a whole number 4.."),
        (("--vcpus", 1000), "--vcpus must be a whole number 1.."),
        (("--pattern", "hot"), "--hot-pages must be 1..16384 with --pattern hot"),
        (("--no-pv-drivers",), "leave out --no-pv-drivers"),
    ],
)
def test_option_that_is_refused_is_named_as_it_was_typed(
    shell: Shell, options: tuple[object, ...], told: str
):
    line = shell.bad("sim", "create", "web", *options)
    assert told in line
    assert "_" not in line
