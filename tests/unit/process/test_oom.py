"""A death for want of memory is told only if the kernel's own words prove it."""

import signal
from pathlib import Path

import pytest

from libxlpy.errors import HelperCrashed
from libxlpy.jobs.failures import crash_of
from libxlpy.process.helper import ExitStatus
from libxlpy.process.proc import (
    DRIFT,
    FIRST_PID_NAMESPACE,
    OomKills,
    kill_count,
    killed,
    kills_of,
    proof,
    records,
)

#: As /dev/kmsg gave it on Linux 6.12 when a cgroup's memory.max was lowered.
LOG = """\
4,394,16386084,-;sh invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order=0, \
oom_score_adj=0
4,404,16390225,-; memory_max_write+0x127/0x210
6,439,16449225,-;memory: usage 64544kB, limit 20480kB, failcnt 0
6,441,16452405,-;Memory cgroup stats for /oom:
6,508,16543827,-;[  pid  ]   uid  tgid total_vm      rss rss_anon rss_file rss_shmem \
pgtables_bytes swapents oom_score_adj name
6,509,16545471,-;[    186]     0   186    18987    16588    16032      556         0 \
  192512        0             0 python3
6,510,16547518,-;oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=/,\
mems_allowed=0,oom_memcg=/oom,task_memcg=/oom,task=python3,pid=186,uid=0
3,511,16550816,-;Memory cgroup out of memory: Killed process 186 (python3) \
total-vm:75948kB, anon-rss:64128kB, file-rss:2224kB, shmem-rss:0kB, UID:0 \
pgtables:188kB oom_score_adj:0
4,626,16785301,-;Out of memory and no killable processes...
"""
CGROUP = LOG.splitlines()[-2]
#: The same when the whole machine has none left.
GLOBAL = CGROUP.replace("Memory cgroup out of memory", "Out of memory")
EVENTS = "low 0\nhigh 0\nmax 0\noom 9342\noom_kill 1\noom_group_kill 0\n"
PID, BEGAN = 186, 9.5


@pytest.mark.parametrize("record", [GLOBAL, CGROUP])
def test_record_of_the_kill_is_a_proof(record: str):
    assert killed(record, PID, BEGAN) == record.partition(";")[2]


def test_no_other_record_of_the_kernels_is_one():
    assert [each for each in LOG.splitlines() if killed(each, PID, BEGAN)] == [CGROUP]


def test_clock_of_the_log_may_be_behind():
    assert killed(CGROUP, PID, BEGAN + 600)


@pytest.mark.parametrize(
    ("record", "pid", "since"),
    [
        (CGROUP, 18, BEGAN),  # another process
        (CGROUP, PID, 16.6 + DRIFT),  # another of the same pid, long before
        ("6,1,1000000000,-;audit: Killed process 186 (python)", PID, 0.0),
        ("garbage", PID, 0.0),
        (CGROUP.replace("16550816", "x"), PID, 0.0),
    ],
)
def test_any_other_record_is_none(record: str, pid: int, since: float):
    assert killed(record, pid, since) is None


def test_kills_of_a_cgroup_are_counted():
    assert kill_count(EVENTS) == 1
    assert kill_count("low 0\nhigh 0\n") == 0


@pytest.fixture
def kernel(tmp_path: Path) -> Path:
    """Folders as the kernel has them, for process 186."""
    (tmp_path / "proc/186").mkdir(parents=True)
    (tmp_path / "proc/186/cgroup").write_text("0::/system.slice/xlpyd.service\n")
    folder = tmp_path / "cgroup/system.slice/xlpyd.service"
    folder.mkdir(parents=True)
    (folder / "memory.events").write_text(EVENTS)
    return tmp_path


def test_cgroup_that_counts_one_more_is_a_proof(kernel: Path):
    before = kills_of(186, kernel / "proc", kernel / "cgroup")
    assert before.count == 1
    assert before.path is not None
    nothing = kernel / "no log"
    assert proof(186, before, 0.0, nothing, kernel / "proc") == ""
    before.path.write_text(EVENTS.replace("oom_kill 1", "oom_kill 2"))
    told = proof(186, before, 0.0, nothing, kernel / "proc")
    assert told == f"{before.path} counts one more oom_kill"


def test_process_without_a_cgroup_has_no_count(kernel: Path):
    assert kills_of(187, kernel / "proc", kernel / "cgroup") == OomKills()
    (kernel / "proc/186/cgroup").write_text("4:memory:/old\n")
    assert kills_of(186, kernel / "proc", kernel / "cgroup") == OomKills()


def test_log_of_the_kernel_is_for_pids_of_its_own_namespace_only(
    kernel: Path, monkeypatch: pytest.MonkeyPatch
):
    log = kernel / "kmsg"
    log.write_text(f"6,1,1000000,-;hello\n{CGROUP}\n")
    (kernel / "proc/self/ns").mkdir(parents=True)
    pid_namespace = kernel / "proc/self/ns/pid"
    pid_namespace.touch()
    assert records(log) == log.read_text().splitlines()
    assert proof(186, OomKills(), 0.0, log, kernel / "proc") == ""
    inode = pid_namespace.stat().st_ino
    assert inode != FIRST_PID_NAMESPACE
    monkeypatch.setattr("libxlpy.process.proc.FIRST_PID_NAMESPACE", inode)
    told = proof(186, OomKills(), 0.0, log, kernel / "proc")
    assert told.startswith("kernel log: Memory cgroup out of memory: Killed process")


def test_proof_is_in_the_outcome():
    status = ExitStatus(signal=signal.SIGKILL)
    error = crash_of(status, "", completed=False, oom="kernel log: Out of memory")
    assert isinstance(error, HelperCrashed)
    assert error.oom == "kernel log: Out of memory"
    assert "SIGKILL, for want of memory (kernel log: Out of memory)" in str(error)
