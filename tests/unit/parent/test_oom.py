"""A death for want of memory is told only if the kernel's own words prove it."""

import signal
from pathlib import Path

import pytest

from libxlpy.errors import HelperCrashed
from libxlpy.helper_process import ExitStatus
from libxlpy.oom import (
    FIRST_PID_NAMESPACE,
    OomKills,
    kill_count,
    killed,
    kills_of,
    proof,
    records,
)
from libxlpy.verdict import crash_of

#: As /dev/kmsg gave them, on Linux 6.1 and 6.12; names and numbers changed.
GLOBAL = (
    "3,1042,905313846,-;Out of memory: Killed process 4711 (python) total-vm:2097152kB,"
    " anon-rss:1572864kB, file-rss:4kB, shmem-rss:0kB, UID:0 pgtables:3200kB"
    " oom_score_adj:0"
)
CGROUP = (
    "3,1190,1200500000,-;Memory cgroup out of memory: Killed process 4711 (python)"
    " total-vm:524288kB, anon-rss:262144kB, file-rss:9728kB, shmem-rss:0kB, UID:0"
    " pgtables:640kB oom_score_adj:0"
)
EVENTS = "low 0\nhigh 0\nmax 512\noom 3\noom_kill 2\noom_group_kill 0\n"


@pytest.mark.parametrize("record", [GLOBAL, CGROUP])
def test_record_of_the_kill_is_a_proof(record: str):
    assert killed(record, 4711, 900.0) == record.partition(";")[2]


@pytest.mark.parametrize(
    ("record", "pid", "since"),
    [
        (GLOBAL, 471, 900.0),  # another process
        (GLOBAL, 4711, 906.0),  # another of the same pid, before
        ("6,1,1000000000,-;Tasks state (memory values in pages):", 4711, 0.0),
        ("6,1,1000000000,-;audit: Killed process 4711 (python)", 4711, 0.0),
        ("garbage", 4711, 0.0),
        (GLOBAL.replace("905313846", "x"), 4711, 0.0),
    ],
)
def test_any_other_record_is_none(record: str, pid: int, since: float):
    assert killed(record, pid, since) is None


def test_kills_of_a_cgroup_are_counted():
    assert kill_count(EVENTS) == 2
    assert kill_count("low 0\nhigh 0\n") == 0


@pytest.fixture
def kernel(tmp_path: Path) -> Path:
    """Folders as the kernel has them, for process 4711."""
    (tmp_path / "proc/4711").mkdir(parents=True)
    (tmp_path / "proc/4711/cgroup").write_text("0::/system.slice/xlpyd.service\n")
    folder = tmp_path / "cgroup/system.slice/xlpyd.service"
    folder.mkdir(parents=True)
    (folder / "memory.events").write_text(EVENTS)
    return tmp_path


def test_cgroup_that_counts_one_more_is_a_proof(kernel: Path):
    before = kills_of(4711, kernel / "proc", kernel / "cgroup")
    assert before.count == 2
    assert before.path is not None
    nothing = kernel / "no log"
    assert proof(4711, before, 0.0, nothing, kernel / "proc") == ""
    before.path.write_text(EVENTS.replace("oom_kill 2", "oom_kill 3"))
    told = proof(4711, before, 0.0, nothing, kernel / "proc")
    assert told == f"{before.path} counts one more oom_kill"


def test_process_without_a_cgroup_has_no_count(kernel: Path):
    assert kills_of(4712, kernel / "proc", kernel / "cgroup") == OomKills()
    (kernel / "proc/4711/cgroup").write_text("4:memory:/old\n")
    assert kills_of(4711, kernel / "proc", kernel / "cgroup") == OomKills()


def test_log_of_the_kernel_is_for_pids_of_its_own_namespace_only(
    kernel: Path, monkeypatch: pytest.MonkeyPatch
):
    log = kernel / "kmsg"
    log.write_text(f"6,1,1000000,-;hello\n{CGROUP}\n")
    (kernel / "proc/self/ns").mkdir(parents=True)
    pid_namespace = kernel / "proc/self/ns/pid"
    pid_namespace.touch()
    assert records(log) == log.read_text().splitlines()
    assert proof(4711, OomKills(), 0.0, log, kernel / "proc") == ""
    inode = pid_namespace.stat().st_ino
    assert inode != FIRST_PID_NAMESPACE
    monkeypatch.setattr("libxlpy.oom.FIRST_PID_NAMESPACE", inode)
    told = proof(4711, OomKills(), 0.0, log, kernel / "proc")
    assert told.startswith("kernel log: Memory cgroup out of memory: Killed process")


def test_proof_is_in_the_outcome():
    status = ExitStatus(signal=signal.SIGKILL)
    error = crash_of(status, "", completed=False, oom="kernel log: Out of memory")
    assert isinstance(error, HelperCrashed)
    assert error.oom == "kernel log: Out of memory"
    assert "SIGKILL, for want of memory (kernel log: Out of memory)" in str(error)
