"""What the kernel tells of a process, and psutil does not.

That it was killed for want of memory: either the kernel's log names the process, or the
process' cgroup counts a kill that it had not counted when the process began. A pid in
the log is one of the first pid namespace: only there is it looked for.

Where its threads are, if not even SIGKILL ends it: a disk or a hypercall that does not
come back has its name in the wait channel, and the way there in the stack, which only
root may see.
"""

import os
import re
from pathlib import Path

from libxlpy_protocol.value import Value

PROC = Path("/proc")
CGROUPS = Path("/sys/fs/cgroup")
KERNEL_LOG = Path("/dev/kmsg")
#: Inode of the first pid namespace; Linux: include/linux/proc_ns.h, PROC_PID_INIT_INO.
FIRST_PID_NAMESPACE = 0xEFFFFFFC
#: Bytes of one record; records looked at.
RECORD_MAX = 8192
RECORDS_MAX = 20000
#: Bytes taken of a small file.
FILE_MAX = 4096
#: Threads and frames told.
THREADS_TOLD = 4
FRAMES_TOLD = 12
#: States of a thread that is dead already.
DEAD = frozenset("ZX")
#: Seconds by which the log's clock may be off from ours, which NTP keeps right: some
#: ten parts in a million, for months. No pid comes again that soon.
DRIFT = 3600.0
#: Linux: mm/oom_kill.c, __oom_kill_process().
KILLED = re.compile(r"(?:Out of|cgroup out of) memory\b.*Killed process (\d+) ")


class OomKills(Value):
    """How often the kernel has killed in a process' cgroup."""

    #: Its ``memory.events``; None if there is no such cgroup.
    path: Path | None = None
    count: int = 0


def kills_of(pid: int, proc: Path = PROC, cgroups: Path = CGROUPS) -> OomKills:
    """Give the count in a process' own cgroup of version 2."""
    for line in _text(proc / str(pid) / "cgroup").splitlines():
        if line.startswith("0::/"):
            path = cgroups / line.removeprefix("0::/") / "memory.events"
            text = _text(path)
            return OomKills(path, kill_count(text)) if text else OomKills()
    return OomKills()


def kill_count(events: str) -> int:
    """Give ``oom_kill`` of a ``memory.events``; 0 if it is not there."""
    match = re.search(r"^oom_kill (\d+)$", events, re.MULTILINE)
    return int(match[1]) if match else 0


def proof(
    pid: int, before: OomKills, since: float, log: Path = KERNEL_LOG, proc: Path = PROC
) -> str:
    """Give what proves that the kernel killed a process; "" if nothing does.

    Reads files: not for the thread of an event loop.

    Args:
        pid: Of a process that died of SIGKILL, which nobody here sent.
        before: The count when it began.
        since: When it began, monotonic seconds.
        log: The kernel's.
        proc: Where processes are.
    """
    if _first_namespace(proc):
        for record in records(log):
            if (text := killed(record, pid, since)) is not None:
                return f"kernel log: {text}"
    if before.path is not None and kill_count(_text(before.path)) > before.count:
        return f"{before.path} counts one more oom_kill"
    return ""


def killed(record: str, pid: int, since: float) -> str | None:
    """Give the text of a kernel log record that says so; None if it is another.

    Args:
        record: ``priority,number,microseconds,flags;text``.
        pid: Of the process.
        since: When it began, monotonic seconds.
    """
    head, _, text = record.partition(";")
    fields = head.split(",")
    match = KILLED.search(text)
    if match is None or int(match[1]) != pid or len(fields) < 3:
        return None
    recent = fields[2].isdigit() and int(fields[2]) / 1e6 >= since - DRIFT
    return text.splitlines()[0] if recent else None


def records(log: Path) -> list[str]:
    """Give the kernel's log, oldest record first; empty if it is not ours to read."""
    found: list[str] = []
    try:
        fd = os.open(log, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return found
    try:
        while len(found) < RECORDS_MAX and (data := _record(fd)):
            found += data.decode("utf-8", "replace").splitlines()
    finally:
        os.close(fd)
    return found


def _record(fd: int) -> bytes:
    """Give the next record; nothing at the end."""
    while True:
        try:
            return os.read(fd, RECORD_MAX)
        except BrokenPipeError:
            continue  # it was overwritten meanwhile; the next one is there
        except OSError:
            return b""


def _first_namespace(proc: Path) -> bool:
    try:
        return (proc / "self/ns/pid").stat().st_ino == FIRST_PID_NAMESPACE
    except OSError:
        return False


# ----- where it hangs -------------------------------------------------------------


def kernel_place(pid: int) -> str:
    """Give in one line where the threads are that keep a process from ending.

    Reads files that may hang with it: not for the thread of an event loop.

    Args:
        pid: Of the process, which nobody has reaped.
    """
    tids = [int(task.name) for task in (PROC / str(pid) / "task").glob("*")]
    # The main thread first: the number of another may be lower, as numbers wrap.
    tids.sort(key=lambda tid: (tid != pid, tid))
    places = [place for tid in tids if (place := _place(pid, tid))]
    return "; ".join(places[:THREADS_TOLD])


def _place(pid: int, tid: int) -> str:
    """Give the place of one thread; "" if it is dead."""
    task = PROC / str(pid) / "task" / str(tid)
    state = state_of(_text(task / "stat"))
    if not state or state in DEAD:
        return ""
    channel = _text(task / "wchan")
    where = channel if channel not in {"", "0"} else "unknown"
    stack = frames(_text(task / "stack"))
    text = f"thread {tid} in state {state} at {where}"
    return f"{text}, stack {' < '.join(stack)}" if stack else text


def state_of(stat: str) -> str:
    """Give the state in a ``stat``; "" if there is none. Names may hold anything."""
    _, _, rest = stat.rpartition(")")
    return rest.split()[0] if rest.split() else ""


def frames(stack: str) -> list[str]:
    """Give the functions of a ``stack``, innermost first."""
    names = [line.split()[-1] for line in stack.splitlines() if line.split()]
    return [name.partition("+")[0] for name in names][:FRAMES_TOLD]


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return file.read(FILE_MAX).decode("utf-8", "replace").strip()
    except OSError:
        return ""
