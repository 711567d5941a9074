"""`xlpy remus` as users type it, between two hosts."""

import json
import os
import shlex
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.integration.cli.test_migrate import (
    Ssh,
    executable,
    host_behind,
    names,
    receivers_gone,
    ssh,
    there,
)
from tests.support.shell import PATIENCE, Running, Shell

__all__ = ["host_behind", "ssh", "there"]

REMUS = ("remus", "--json", "-i", 20)


class Backup:
    """The other host, and its fence."""

    def __init__(self, ssh: Ssh, there: Shell, fence: Path, end: list[str]) -> None:
        self._fence, self._end = fence, end
        words = shlex.join(there.command())
        text = f'case "$*" in *" -r "*) set -- "$@" --fence {fence};; esac\n'
        executable(ssh.folder / "xlpy", f'#!/bin/sh\n{text}exec {words} "$@"\n')
        self.says("exit 1")

    def says(self, text: str) -> None:
        """Have the fence do something."""
        executable(self._fence, f"#!/bin/sh\n{text}\n")

    def ends_it_there(self) -> None:
        """Have the fence end the domain where it was, and say so."""
        self.says(f"{shlex.join(self._end)} && exit 0")


@pytest.fixture
def backup(host_behind: Ssh, shell: Shell, there: Shell, tmp_path: Path) -> Backup:
    end = shell.command("sim", "destroy", "web")
    return Backup(host_behind, there, tmp_path / "fence", end)


@contextmanager
def protected(shell: Shell, ssh: str, *more: str) -> Iterator[Running]:
    """Have a domain that is protected, until the process ends."""
    with shell.running(*REMUS, *more, "-s", ssh, "web", "target") as running:
        running.until_phase("protected")
        yield running


def ended(running: Running) -> tuple[int, dict[str, Any], str]:
    """Give its status, its result, and what it has said."""
    process = running.process
    out, said = process.communicate(timeout=PATIENCE)
    return process.returncode, json.loads(out.splitlines()[-1]), said.decode()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_ends_it_and_the_domain_runs_on_here(
    shell: Shell, there: Shell, backup: Backup, ssh: str, number: signal.Signals
) -> None:
    with shell.guest("web") as domid:
        with protected(shell, ssh) as running:
            assert names(there) == ["web--incoming"]
            (job,) = shell.json("jobs", "--json")
            assert (job["domid"], job["phase"]) == (domid, "protected")
            running.process.send_signal(number)
            status, result, said = ended(running)
        assert status == 0, said
        assert result["result"] == "stopped"
        assert result["guest"] == "running"
        assert result["epoch"] > 0
        assert result["pause_ms"]["p99"] >= result["pause_ms"]["median"] > 0
        assert "is protected: target has its copy" in said
        assert shell.facts("web")["running"]
        receivers_gone()
        assert names(there) == []
        assert shell.json("jobs", "--json") == there.json("jobs", "--json") == []


def test_domain_goes_to_its_backup_on_request(
    shell: Shell, there: Shell, backup: Backup, ssh: str
) -> None:
    with shell.guest("web"), there.guest("other"):
        with protected(shell, ssh) as running:
            done = shell.run("remus", "--switch-over", "web")
            assert (done.returncode, done.stderr) == (0, "web: goes to its backup\n")
            status, result, said = ended(running)
        assert status == 0, said
        assert (result["result"], result["guest"]) == ("switched over", "gone")
        assert names(shell) == []
        assert there.facts("web")["running"]
        assert there.ask("verify", domid=there.facts("web")["domid"])["match"]
        receivers_gone()
        assert shell.json("jobs", "--json") == there.json("jobs", "--json") == []


def test_backup_takes_over_once_the_primary_was_fenced(
    shell: Shell, there: Shell, backup: Backup, ssh: str
) -> None:
    backup.ends_it_there()
    with shell.guest("web"), there.guest("other"):
        with protected(shell, ssh) as running:
            running.process.kill()
            running.process.wait(PATIENCE)
            receivers_gone()
        assert names(shell) == []
        assert there.facts("web")["running"]
        assert there.ask("verify", domid=there.facts("web")["domid"])["match"]


def test_backup_lets_it_be_where_it_runs(
    shell: Shell, there: Shell, backup: Backup, ssh: str
) -> None:
    backup.says("exit 3")
    with shell.guest("web"):
        with protected(shell, ssh) as running:
            running.process.kill()
            running.process.wait(PATIENCE)
            receivers_gone()
        assert names(there) == []
        assert shell.facts("web")["running"]


def test_copy_is_left_paused_if_nobody_can_tell(
    shell: Shell, there: Shell, backup: Backup, ssh: str
) -> None:
    backup.says("echo no route >&2; exit 1")
    with shell.guest("web"), there.guest("other"):
        with protected(shell, ssh) as running:
            running.process.kill()
            receivers_gone()
            said = ended_by_kill(running)
        assert "fence) failed: exit status 1: no route" in said
        assert "is left paused" in said
        assert sorted(names(there)) == ["other", "web--incoming"]
        assert there.facts("web--incoming")["paused"]
        shell.good("sim", "destroy", "web")
        there.good("migrate", "--resolve", "--runs", "here", "web--incoming")
        assert there.facts("web")["running"]
        assert there.json("jobs", "--json") == []


def ended_by_kill(running: Running) -> str:
    running.process.wait(PATIENCE)
    return running.errors()


def test_without_a_fence_it_is_said(
    shell: Shell, there: Shell, host_behind: Ssh, ssh: str
) -> None:
    with shell.guest("web"), there.guest("other"):
        with protected(shell, ssh, "--unsafe-no-fence") as running:
            running.process.kill()
            receivers_gone()
            said = ended_by_kill(running)
        assert "nobody has proved that the primary is gone" in said
        assert there.facts("web")["running"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("-n", "web", "target"), "-n and -d are unsafe: add -F"),
        (("-d", "web", "target"), "-n and -d are unsafe: add -F"),
        (("-i", "0", "web", "target"), "0 is not in the range"),
        (("web",), "Missing argument 'HOST'"),
        (("web", ""), "HOST is empty"),
        (("-s", "", "web", "target"), "-s is empty"),
        (("--switch-over", "web", "target"), "--switch-over needs DOM alone"),
    ],
)
def test_usage(shell: Shell, arguments: tuple[str, ...], said: str) -> None:
    assert said in shell.bad("remus", *arguments, status=2)


def test_switch_over_of_what_nobody_protects(shell: Shell) -> None:
    with shell.guest("web"):
        line = shell.bad("remus", "--switch-over", "web")
        assert "nobody protects 'web'" in line


@pytest.fixture
def full(tmp_path: Path) -> Iterator[Path]:
    """A pipe that nobody reads."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDWR)
    yield pipe
    os.close(reader)


def test_switch_over_is_not_for_a_save(shell: Shell, full: Path) -> None:
    """Which goes on as it would."""

    def job() -> tuple[str, str, str]:
        jobs = shell.json("jobs", "--json")
        (mine,) = [each for each in jobs if each["domid"] == domid]
        return mine["kind"], mine["job"], mine["phase"]

    with shell.guest("web") as domid:
        options = ("save", "--json", "--live", "-c", "web", full)
        with shell.running(*options) as saving:
            saving.until_phase("precopy")
            before = job()
            assert (before[0], before[2]) == ("save", "precopy")
            line = shell.bad("remus", "--switch-over", "web")
            assert "nobody protects 'web'" in line
            assert job() == before
            saving.process.terminate()
            saving.process.wait(PATIENCE)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("-r",), "-r is for xlpy remus"),
        (("--control", "--unsafe-no-fence"), "add -r"),
        (("-r", "--control", "--fence", "x", "--unsafe-no-fence"), "leave out --fence"),
    ],
)
def test_usage_of_the_receiver(
    shell: Shell, arguments: tuple[str, ...], said: str
) -> None:
    assert said in shell.bad("migrate-receive", *arguments, status=2)


def test_backup_without_a_fence_is_refused(
    shell: Shell, there: Shell, backup: Backup, ssh: str, tmp_path: Path
) -> None:
    (tmp_path / "fence").unlink()
    with shell.guest("web"):
        done = shell.run("remus", "-s", ssh, "web", "target")
        assert done.returncode == 1
        line = (
            f"no fence that could say that the primary is gone: hook {tmp_path}/fence"
        )
        assert line in done.stderr
        assert done.stderr.endswith("guest was not touched\n")
        assert shell.facts("web")["running"]
