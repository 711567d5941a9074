"""Where in the kernel the threads of a process are, as the kernel tells it.

Asked of a helper that not even SIGKILL ends: a disk or a hypercall that does not come
back has its name in the wait channel, and the way there in the stack, which only root
may see.
"""

from pathlib import Path

PROC = Path("/proc")
#: Bytes taken of one file.
FILE_MAX = 4096
#: Threads and frames told.
THREADS_TOLD = 4
FRAMES_TOLD = 12
#: States of a thread that is dead already.
DEAD = frozenset("ZX")


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
    state = state_of(_read(task / "stat"))
    if not state or state in DEAD:
        return ""
    channel = _read(task / "wchan")
    where = channel if channel not in {"", "0"} else "unknown"
    stack = frames(_read(task / "stack"))
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


def _read(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return file.read(FILE_MAX).decode("utf-8", "replace").strip()
    except OSError:
        return ""  # it has ended, or is not ours to see
