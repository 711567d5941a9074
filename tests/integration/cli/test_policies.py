"""A guest that never converges, and what is said of when it is suspended."""

import os
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from libxlpy.simxen.vcpu import FULL_SPEED
from tests.support.shell import Shell
from tests.support.slow_reader import CHUNK, PACE, read_slowly


@pytest.fixture
def slow(tmp_path: Path) -> Iterator[Path]:
    """Give a pipe that is read slowly."""
    path = tmp_path / "pipe"
    os.mkfifo(path)
    reading = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    writing = os.open(path, os.O_WRONLY)
    os.set_blocking(reading, True)
    with read_slowly(reading, writing):
        yield path


@pytest.fixture
def busy(shell: Shell) -> Iterator[str]:
    """A guest that writes as fast as it can."""
    with shell.guest("busy", memory_mib=8, rate=FULL_SPEED):
        yield "busy"


SAVE = ("save", "--live", "-c", "--max-downtime", "1")


def test_guest_that_never_fits_is_left_running_when_the_time_is_up(
    shell: Shell, busy: str, slow: Path
):
    done = shell.run(*SAVE, "--timeout", "2", busy, slow)
    assert done.returncode == 1
    assert "deadline 'total' of 2 s passed; guest is running" in done.stderr
    assert "dirty since, expected downtime " in done.stderr
    assert "  suspend" not in done.stderr
    assert shell.facts(busy)["running"]


def test_it_is_suspended_then_if_that_was_said(shell: Shell, busy: str, slow: Path):
    done = shell.run(*SAVE, "--timeout", "2", "--on-timeout", "stop", busy, slow)
    assert done.returncode == 0, done.stderr
    assert "guest is running" in done.stderr
    assert shell.facts(busy)["running"]


def test_job_is_told_to_stop_and_copy(shell: Shell, busy: str, slow: Path):
    with shell.running(*SAVE, "--json", busy, slow) as save:
        save.until_phase("precopy")
        while save.event()["event"] != "precopy":
            pass
        (job,) = shell.json("jobs", "--json")
        assert job["phase"] == "precopy"
        done = shell.run("jobs", "--stop-and-copy", job["job"])
        text = "its guest is suspended after the pass under way"
        assert (done.returncode, done.stderr) == (0, f"{job['job']}: {text}\n")
        save.until_phase("last pass")
        save.until_phase("suspend")
        while "result" not in (event := save.event()):
            pass
        assert event["result"] == "saved"
    assert shell.bad("jobs", "--stop-and-copy", job["job"]).startswith(
        "xlpy: no such job: "
    )


def test_busy_guest_is_not_moved_if_it_is_not_to_be(shell: Shell, busy: str):
    options = ("--max_iters", "2", "--min_remaining", "100", "--abort_if_busy")
    receive = shlex.join(shell.command("migrate-receive"))
    host = f"python3 -c {shlex.quote(SLOW)} | {receive}"
    done = shell.run("migrate", "-s", "", *options, busy, host)
    assert done.returncode == 1
    assert "Migration aborted as requested, domain is too busy.\n" in done.stderr
    assert "precopy_policy chose to abort in pass 2: " in done.stderr
    assert "; guest is running" in done.stderr
    assert [each["name"] for each in shell.domains()] == ["busy"]


#: Passes on what it reads, as slowly.
SLOW = (
    f"import os,sys,time\nwhile d:=os.read(0,{CHUNK}):\n"
    f" sys.stdout.buffer.write(d);sys.stdout.flush();time.sleep({PACE})"
)
