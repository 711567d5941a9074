"""Ctrl-C while our loop runs in the program's main thread: after a turn, not in it.

Python raises ``KeyboardInterrupt`` wherever that thread is, and so in the middle of a
job's step, which then neither ends nor is repaired. As with asyncio's own runner, a
handler that the program has put in place stays.
"""

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator


@contextlib.contextmanager
def interrupt_held(came: Callable[[], object] = lambda: None) -> Iterator[None]:
    """Do not cut a block by Ctrl-C; it is raised after the block.

    Args:
        came: Called in the signal handler; is to have a long block end.

    Raises:
        KeyboardInterrupt: SIGINT came.
    """
    if not _raises_here():
        yield
        return
    interrupted = False

    def note(_signum: int, _frame: object) -> None:
        nonlocal interrupted
        interrupted = True
        came()

    signal.signal(signal.SIGINT, note)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        if interrupted:
            raise KeyboardInterrupt


def _raises_here() -> bool:
    """Tell whether Ctrl-C is a ``KeyboardInterrupt`` in this very thread."""
    if threading.current_thread() is not threading.main_thread():
        return False
    return signal.getsignal(signal.SIGINT) is signal.default_int_handler
