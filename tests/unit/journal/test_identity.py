"""A process is known by more than its number."""

import os
import signal
import subprocess
import sys

import pytest

from libxlpy.journal.identity import Identity, wait_gone


def test_own_process_lives():
    assert Identity.own().alive()


def test_another_start_or_boot_is_another_process():
    own = Identity.own()
    for change in ({"start_time": own.start_time - 1}, {"boot_id": "x"}):
        other = own.replace(**change)
        assert not other.alive()
        assert not other.signal(signal.SIGKILL)


def test_identity_is_of_one_process_only():
    own = Identity.own()
    pidfd = own.open()
    assert pidfd is not None
    os.close(pidfd)
    assert own.replace(start_time=own.start_time + 1).open() is None
    with pytest.raises(ProcessLookupError):
        Identity.of(2**22 + 1)


async def test_end_is_seen_before_anybody_has_waited_for_it():
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=-1) as process:
        child = Identity.of(process.pid)
        assert child.alive()
        assert not await wait_gone(child, 0.01)
        assert child.signal(signal.SIGKILL)
        assert await wait_gone(child, 20.0)
        assert not child.alive()
        assert not child.signal(signal.SIGKILL)
    assert not child.alive()
    assert await wait_gone(child, 0.01)
