"""`xlpy migrate-receive --stream`, and what leads to the sender of either receiver."""

import os
import stat

from libxlpy.cli.terminal.outcome import GOOD, CommandFailed
from libxlpy.migration.handing import hand_in

STDIN, STDOUT, STDERR = 0, 1, 2


def receive_stream(name: str) -> int:
    """Hand a stream in to the receiver that waits for it; give the exit status.

    A signal ends it at once: what becomes of the domain is the receiver's.
    """
    read_fd, write_fd = sender()
    hand_in(name, read_fd)
    os.close(write_fd)
    return GOOD


def sender() -> tuple[int, int]:
    """Give what leads to the sender; whoever prints from here on, prints to stderr."""
    for fd, name in ((STDIN, "stdin"), (STDOUT, "stdout")):
        mode = os.fstat(fd).st_mode
        if not (stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)):
            text = f"{name} leads to no sender: `xlpy migrate` and `xl migrate` start"
            raise CommandFailed(f"{text} this command")
    pair = os.dup(STDIN), os.dup(STDOUT)
    null = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
    os.dup2(null, STDIN)
    os.close(null)
    os.dup2(STDERR, STDOUT)
    return pair
