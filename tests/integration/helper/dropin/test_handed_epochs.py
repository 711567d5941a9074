"""The drop-in of a backup: what libxl gets of each epoch; when that is acknowledged."""

import errno
import os
import select
import signal
from collections.abc import Iterator
from contextlib import suppress

import pytest

from libxlpy_protocol.acks import ACK_SIZE, unpack_ack
from libxlpy_protocol.messages import Checkpoint, Complete, RestoreResults
from libxlpy_protocol.stream.libxl import LibxlRecord, pack_libxl_record
from tests.integration.helper.dropin.driver import LIMIT, LibxlParent, restore_argv
from tests.support.helper_driver import FakeHost

CHECKPOINT_END = pack_libxl_record(LibxlRecord.CHECKPOINT_END)
LIBXC = bytes(64)  # what the fake reads


def behind(state: bytes) -> bytes:
    """Give what is behind an epoch of an HVM domain."""
    return (
        pack_libxl_record(LibxlRecord.EMULATOR_XENSTORE_DATA, b"k\0v\0" + bytes(8))
        + pack_libxl_record(LibxlRecord.EMULATOR_CONTEXT, state)
        + CHECKPOINT_END
    )


class Backup(LibxlParent):
    """The drop-in, what libxl reads, the stream, and where it acknowledges."""

    def __init__(self, host: FakeHost) -> None:
        self.libxl_fd = os.memfd_create("for libxl")
        source, self.primary_fd = os.pipe()
        self.acks_fd, acks = os.pipe()
        os.write(self.libxl_fd, b"header")  # which libxl has read by then
        argv, fds = (
            restore_argv(self.libxl_fd, remus=True),
            [self.libxl_fd, source, acks],
        )
        super().__init__(host, argv, fds, source=source, acks=acks)
        os.close(source)
        os.close(acks)

    def __exit__(self, *end: object) -> None:
        super().__exit__(*end)
        for fd in (self.libxl_fd, self.acks_fd, self.primary_fd):
            with suppress(OSError):  # a test may have ended it
                os.close(fd)

    def write(self, data: bytes) -> None:
        while data:
            select.select([], [self.primary_fd], [])
            data = data[os.write(self.primary_fd, data[:4096]) :]

    def read(self) -> bytes:
        """As libxl: up to the end of what is there."""
        return os.read(self.libxl_fd, 1 << 20)

    def is_acknowledged(self) -> bool:
        return bool(select.select([self.acks_fd], [], [], 0)[0])

    def acknowledged(self) -> int:
        assert select.select([self.acks_fd], [], [], LIMIT)[0], "nothing is held"
        return unpack_ack(os.read(self.acks_fd, ACK_SIZE))


@pytest.fixture
def backup(host: FakeHost) -> Iterator[Backup]:
    host.script("read 64", "checkpoint", "read 64", "checkpoint", "read-end 64")
    with Backup(host) as made:
        yield made


def held(backup: Backup, *states: bytes) -> None:
    """Have epochs held."""
    for number, state in enumerate(states, 1):
        backup.write(LIBXC + behind(state))
        backup.answer(Checkpoint(), 1)
        assert backup.read() == behind(state)
        assert backup.acknowledged() == number


def test_libxl_gets_an_epoch_once_it_is_whole(backup: Backup) -> None:
    state = b"state 1 " * 20000
    backup.write(LIBXC + behind(state))
    backup.expect(Checkpoint())
    assert backup.read() == behind(state)
    assert not backup.is_acknowledged()  # libxl may still refuse it
    backup.reply(1)
    assert backup.acknowledged() == 1
    held_size = os.fstat(backup.libxl_fd).st_size
    backup.write(LIBXC + behind(b"2" * 8))
    backup.answer(Checkpoint(), 1)
    assert backup.read() == behind(b"2" * 8)
    assert os.fstat(backup.libxl_fd).st_size < held_size  # not one behind the other
    assert backup.acknowledged() == 2


@pytest.mark.parametrize("cut", [0, 20, 32, -1])
def test_end_of_the_stream_fails_over_to_what_is_held(host: FakeHost, cut: int) -> None:
    host.script("read 64", "checkpoint", "read 64", "checkpoint")
    with Backup(host) as backup:
        held(backup, b"state  1")
        backup.write(LIBXC + behind(b"state  2")[:cut])
        os.close(backup.primary_fd)
        assert backup.finish() == Complete(0, 0, False)
        assert any(isinstance(each, RestoreResults) for each in backup.seen)
        assert not backup.is_acknowledged() or not os.read(backup.acks_fd, 1)


def test_end_within_the_first_epoch_is_a_failure(host: FakeHost) -> None:
    host.script("read 64", "checkpoint")
    with Backup(host) as backup:
        backup.write(LIBXC + behind(b"state  1")[:20])
        os.close(backup.primary_fd)
        assert backup.finish() == Complete(-1, errno.EPROTO, False)


def test_epoch_that_is_damaged_is_no_end_of_the_stream(host: FakeHost) -> None:
    host.script("read 64", "checkpoint", "read 64", "checkpoint")
    with Backup(host) as backup:
        held(backup, b"state  1")
        backup.write(LIBXC + b"\xff" * 8)
        assert backup.finish() == Complete(-1, errno.EPROTO, False)


def test_epoch_that_libxl_refuses_is_not_acknowledged(host: FakeHost) -> None:
    host.script("read 64", "checkpoint")
    with Backup(host) as backup:
        backup.write(LIBXC + behind(b"state  1"))
        backup.answer(Checkpoint(), 0)
        assert not backup.is_acknowledged()
        backup.finish()


def test_stream_is_taken_for_ended_when_told(backup: Backup) -> None:
    """Its other end says nothing, and keeps it open."""
    held(backup, b"state  1", b"state  2")
    backup.process.send_signal(signal.SIGUSR2)
    assert backup.finish() == Complete(0, 0, False)


def test_nobody_hears_acknowledgements(host: FakeHost) -> None:
    host.script("read 64", "checkpoint")
    with Backup(host) as backup:
        os.close(backup.acks_fd)
        backup.write(LIBXC + behind(b"state  1"))
        backup.answer(Checkpoint(), 1)
        assert backup.finish() == Complete(-1, errno.EPIPE, False)
