"""Make the process safe to run as root: descriptors, privileges, its parent's death.

What is inherited is not trusted: fd 0 and 1 are moved away before anything can print,
and every descriptor that the start message doesn't name is closed.
"""

from __future__ import annotations

import fcntl
import os
import stat

from libxlpy_helper.xen import xenguest
from libxlpy_protocol.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection


class HardenError(Exception):
    """The process was not started as libxlpy does; the text says why."""


class ControlPipes(Value):
    """The two pipes to the parent, non-blocking, under numbers of our own."""

    read_fd: int
    write_fd: int


class Claimed(Value):
    """What a process has from its start on.

    Attributes:
        pipes: To the parent.
        inherited: What the parent left open for us besides.
        statm: The file of that name in /proc/self.
        io: And of the thread that has claimed it all.
    """

    pipes: ControlPipes
    inherited: frozenset[int]
    statm: int
    io: int


def claim(*, ours: Collection[int] = (), shares_stderr: bool = False) -> Claimed:
    """Take what there is, and open what can't be opened later.

    By the main thread, and first: what is open before is the parent's, and a process
    that was hardened is not readable for itself.

    Args:
        ours: Descriptors besides the pipes that are not for the operation.
        shares_stderr: fd 2 is not ours alone.

    Raises:
        HardenError: The process was not started as libxlpy does.
    """
    pipes = claim_control_pipes(shares_stderr=shares_stderr)
    return Claimed(
        pipes,
        inherited_fds((pipes.read_fd, pipes.write_fd, *ours)),
        statm=os.open("/proc/self/statm", os.O_RDONLY),
        io=os.open("/proc/thread-self/io", os.O_RDONLY),
    )


def claim_control_pipes(*, shares_stderr: bool = False) -> ControlPipes:
    """Move fd 0 and 1 away; afterwards 0 is /dev/null and 1 is where 2 goes.

    A stray print of Python's or of a C library's then can't reach the parent's parser.

    Args:
        shares_stderr: fd 2 is not ours alone: its flags are left as they are.

    Raises:
        HardenError: fd 0 or 1 is not a pipe.
    """
    moved = [_move(0), _move(1)]
    null = os.open("/dev/null", os.O_RDWR)
    os.dup2(null, 0)
    os.dup2(2 if _is_open(2) else null, 1)
    if not _is_open(2):
        os.dup2(null, 2)
    if null > 2:
        os.close(null)
    if not shares_stderr:
        _never_wait_for_stderr()
    return ControlPipes(*moved)


def _move(fd: int) -> int:
    try:
        mode = os.fstat(fd).st_mode
        if not (stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)):
            raise HardenError(f"fd {fd} is no pipe: libxlpy starts this program")
        moved = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 3)
    except OSError as exc:
        raise HardenError(f"fd {fd}: {exc.strerror}") from exc
    os.set_blocking(moved, False)
    return moved


def _is_open(fd: int) -> bool:
    try:
        os.fstat(fd)
    except OSError:
        return False
    return True


def _never_wait_for_stderr() -> None:
    """Noise of a library is dropped, not waited with, when the parent doesn't read it.

    Only for a pipe, which is ours alone: a terminal's flags are shared with others.
    """
    if stat.S_ISFIFO(os.fstat(2).st_mode):
        os.set_blocking(2, False)


def harden(parent: int, *, starts_others: bool = False) -> None:
    """Die with the parent, gain no privileges, leave no core.

    Args:
        parent: Its pid.
        starts_others: Programs that may leave cores, as qemu may.

    Raises:
        HardenError: The parent is gone already, or the kernel refused.
    """
    try:
        if not starts_others:
            xenguest.no_core()
        xenguest.harden(xenguest.SIGTERM)
    except OSError as exc:
        raise HardenError(f"prctl: {exc.strerror}") from exc
    # The death signal is armed only now: the parent may have died before.
    if os.getppid() != parent:
        raise HardenError(f"process {parent} is not the parent")


def inherited_fds(ours: Collection[int]) -> frozenset[int]:
    """Return what the parent left open for us: all but 0, 1, 2 and ``ours``."""
    listed = {int(name) for name in os.listdir("/proc/self/fd")}
    still_open = {fd for fd in listed if _is_open(fd)}  # not the listing's own
    return frozenset(still_open - {0, 1, 2} - set(ours))


def close_all_but(inherited: Collection[int], kept: Collection[int]) -> None:
    """Close the inherited descriptors that the operation doesn't use."""
    for fd in set(inherited) - set(kept):
        try:
            os.close(fd)
        except OSError:
            continue
