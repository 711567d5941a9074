"""The lock file of a guest's suspend event channel."""

import errno
import fcntl
import os
import select
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from libxlpy_helper import suspend_channel
from libxlpy_helper.outbox import Outbox
from libxlpy_helper.suspend_channel import SuspendChannel, lock
from libxlpy_protocol.messages import AskToSuspend
from tests.support.other_user import OTHER

#: Locks a file as libxl does and keeps it so until its standard input ends.
HOLDER = """
import fcntl, sys
file = open(sys.argv[1], "w+b")
fcntl.lockf(file, fcntl.LOCK_EX, 1)
print("locked", flush=True)
sys.stdin.read()
"""


def test_one_at_a_time(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    argv = [sys.executable, "-c", HOLDER, str(path)]
    pipe = subprocess.PIPE
    with subprocess.Popen(argv, stdin=pipe, stdout=pipe) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"locked\n"
        with pytest.raises(OSError, match="unavailable") as caught:
            lock(str(path))
        assert caught.value.errno == errno.EAGAIN
        holder.kill()
        holder.wait()
        with os.fdopen(lock(str(path)), "rb") as ours:
            assert not ours.read()


def test_file_is_for_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with os.fdopen(lock(str(path)), "rb"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def removing(times: int, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Remove the file that is being locked, as who had it locked before does."""
    lockf, left = fcntl.lockf, [None] * times

    def lock_late(fd: int, *arguments: int) -> None:
        if left:
            left.pop()
            path.unlink()
        lockf(fd, *arguments)

    monkeypatch.setattr(suspend_channel.fcntl, "lockf", lock_late)


def test_file_that_was_removed_is_not_the_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "lock"
    removing(3, path, monkeypatch)
    with os.fdopen(lock(str(path)), "rb") as ours:
        assert path.samefile(f"/proc/self/fd/{ours.fileno()}")


def test_file_that_is_always_removed_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    removing(1000, tmp_path / "lock", monkeypatch)
    with pytest.raises(OSError, match="changes all the time"):
        lock(str(tmp_path / "lock"))


class _Refusing:
    """A guest that is there, and a hypervisor that binds no channel."""

    def is_replaced(self) -> bool:
        return False

    def event_channel(self, *_: int) -> None:
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))


@pytest.mark.parametrize(
    ("name", "owner", "goes"),
    [
        ("suspend-evtchn-7.lock", 0, True),
        ("suspend-evtchn-7.lock", OTHER, False),
        ("suspend-evtchn-8.lock", 0, False),
        ("precious", 0, False),
    ],
)
def test_only_a_lock_file_of_ours_is_removed(
    tmp_path: Path, name: str, owner: int, goes: bool
) -> None:
    """Whatever the parent names, a file that is not made for the channel stays."""
    path = tmp_path / name
    path.write_bytes(b"precious")
    os.chown(path, owner, owner)
    fake: Any = _Refusing()
    with select.epoll() as poll:
        channel = SuspendChannel(fake, poll, Outbox(lambda: None))
        ask = AskToSuspend(7, 9, str(path))
        assert channel.ask(fake, ask).errnoval == errno.EINVAL
    assert path.exists() is not goes
    if not goes:
        assert path.read_bytes() == b"precious"
