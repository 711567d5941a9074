"""Say what is waited for, if that takes long."""

import asyncio
import contextlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from libxlpy.cli.terminal.output import Output, one_line

#: Seconds after which somebody who looks on wants to know.
SOON = 3.0
#: What most is asked of, by a helper that has to start.
HYPERVISOR = "an answer of the hypervisor"


@contextmanager
def told_if_stuck(out: Output, what: str, seconds: float = SOON) -> Iterator[None]:
    """As :func:`told_if_long`, where a system call is waited for and no loop runs."""
    telling = threading.Timer(seconds, out.note, [waiting_text(what)])
    telling.daemon = True
    with contextlib.suppress(RuntimeError):  # too many threads: it goes untold
        telling.start()
    try:
        yield
    finally:
        telling.cancel()


@contextmanager
def told_if_long(out: Output, what: str, seconds: float = SOON) -> Iterator[None]:
    """Print what is waited for if the block takes longer.

    Args:
        out: Where to.
        what: As in "the disk of web.save".
        seconds: Until then it is not worth a word.
    """
    loop = asyncio.get_running_loop()
    telling = loop.call_later(seconds, out.note, waiting_text(what))
    try:
        yield
    finally:
        telling.cancel()


def waiting_text(what: str) -> str:
    """Give the line that says what is waited for."""
    return f"             waiting: {one_line(what)}"
