"""A libxl stream with checkpoints: what goes behind each epoch, and what is held."""

import errno
import os
import select
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from libxlpy_protocol.enums import Image, Mode, StreamType
from libxlpy_protocol.messages import (
    Abort,
    Answer,
    Checkpoint,
    Complete,
    FailOver,
    Postcopy,
    RestoreResults,
    ToolstackRestore,
    ToolstackSave,
)
from libxlpy_protocol.stream.libxl import (
    EmulatorHeader,
    LibxlRecord,
    pack_emulator_header,
    pack_libxl_header,
    pack_libxl_record,
)
from tests.support.helper_driver import FakeHost, Parent

HVM = 2 | 32
QEMU = pack_emulator_header(EmulatorHeader())
START = pack_libxl_header() + pack_libxl_record(LibxlRecord.LIBXC_CONTEXT)
CHECKPOINT_END = pack_libxl_record(LibxlRecord.CHECKPOINT_END)
LIBXC = bytes(64)  # what the fake reads, or writes


def epoch(data: bytes, state: bytes) -> bytes:
    """Give what is behind an epoch of an HVM domain."""
    return (
        pack_libxl_record(LibxlRecord.EMULATOR_XENSTORE_DATA, QEMU + data)
        + pack_libxl_record(LibxlRecord.EMULATOR_CONTEXT, QEMU + state)
        + CHECKPOINT_END
    )


@pytest.fixture
def stream() -> Iterator[tuple[int, int]]:
    read_fd, write_fd = os.pipe()
    yield read_fd, write_fd
    os.close(read_fd)
    with suppress(OSError):  # some tests end it
        os.close(write_fd)


# ----- saving -------------------------------------------------------------------------


def test_epoch_is_written_whole_before_the_parent_is_told(
    host: FakeHost, stream_fd: int, tmp_path: Path
) -> None:
    """What the device model was at the end of each: the guest runs again by then."""
    host.domains({7: HVM})
    host.script("write 64", "postcopy", "checkpoint", "write 64", "postcopy")
    path = tmp_path / "qemu-save.7"
    path.write_bytes(b"first")
    with host.helper([stream_fd]) as parent:
        parent.greet()
        parent.start(
            Mode.REMUS,
            domid=7,
            stream_fd=stream_fd,
            stream_type=StreamType.REMUS,
            image=Image.LIBXL,
            emulator_id=2,
            emulator_path=str(path),
        )
        parent.answer(Postcopy, 1)
        parent.answer(ToolstackSave, b"k\0v\0")
        event = parent.expect_event(Checkpoint)
        written = os.pread(stream_fd, 1 << 20, 0)
        assert written == START + LIBXC + epoch(b"k\0v\0", b"first")
        parent.send(Answer(1), event.call_id)
        parent.answer(Postcopy, 1)
        assert parent.expect(Complete) == Complete(0, 0, False)
        assert parent.phases() == ["header", "libxc", "flush"]
    assert os.pread(stream_fd, 1 << 20, 0) == written + LIBXC  # no END: it never ends


def test_epoch_that_can_not_be_written_ends_it(
    host: FakeHost, stream_fd: int, tmp_path: Path
) -> None:
    host.domains({7: HVM})
    host.script("write 64", "postcopy", "checkpoint")
    with host.helper([stream_fd]) as parent:
        parent.greet()
        parent.start(
            Mode.REMUS,
            domid=7,
            stream_fd=stream_fd,
            stream_type=StreamType.REMUS,
            image=Image.LIBXL,
            emulator_id=2,
            emulator_path=str(tmp_path / "none"),
        )
        parent.answer(Postcopy, 1)
        parent.answer(ToolstackSave, b"k\0v\0")
        assert parent.expect(Complete) == Complete(-1, errno.ENOENT, False)
        assert "checkpoint=0" in parent.logs()


# ----- restoring ----------------------------------------------------------------------


def begun(parent: Parent, fd: int, path: Path | None) -> None:
    parent.greet()
    parent.start(
        Mode.RESTORE,
        domid=9,
        stream_fd=fd,
        stream_type=StreamType.REMUS,
        image=Image.LIBXL,
        emulator_path="" if path is None else str(path),
    )


def test_end_of_the_stream_leaves_the_last_whole_epoch(
    host: FakeHost, stream: tuple[int, int], tmp_path: Path
) -> None:
    """Nothing of the device model is touched before; of the third a part has come."""
    host.script("read 64", "checkpoint", "read 64", "checkpoint", "checkpoint")
    read_fd, write_fd = stream
    path = tmp_path / "qemu-resume.9"
    first, second = (epoch(b"k\0%d\0" % n, b"state %d" % n * 20000) for n in (1, 2))
    with host.helper([read_fd]) as parent:
        begun(parent, read_fd, path)
        os.write(write_fd, START + LIBXC)
        write_slowly(write_fd, first)
        parent.answer(Checkpoint, 1)
        assert not path.exists()
        os.write(write_fd, LIBXC)
        write_slowly(write_fd, second)
        parent.answer(Checkpoint, 1)
        os.write(write_fd, epoch(b"k\0" + b"3\0", b"state 3")[:-1])
        os.close(write_fd)
        parent.expect(RestoreResults)
        assert parent.answer(ToolstackRestore, 0) == ToolstackRestore(9, b"k\0002\0")
        assert parent.expect(Complete) == Complete(0, 0, False)
        assert [line for line in parent.logs() if "checkpoint=" in line] == [
            "checkpoint=1",
            "checkpoint=1",
            "checkpoint=2",
        ]
    assert path.read_bytes() == b"state 2" * 20000


@pytest.mark.parametrize("cut", [0, 4, 8, 12, 20, 40])
def test_end_within_the_first_epoch_is_a_failure(
    host: FakeHost, stream: tuple[int, int], tmp_path: Path, cut: int
) -> None:
    host.script("read 64", "checkpoint")
    read_fd, write_fd = stream
    path = tmp_path / "qemu-resume.9"
    with host.helper([read_fd]) as parent:
        begun(parent, read_fd, path)
        os.write(write_fd, START + LIBXC + epoch(b"k\0v\0", b"state")[:cut])
        os.close(write_fd)
        assert parent.expect(Complete) == Complete(-1, errno.EPROTO, False)
    assert not path.exists()


def test_epoch_that_is_damaged_is_no_end_of_the_stream(
    host: FakeHost, stream: tuple[int, int]
) -> None:
    """Whoever sends it may well go on: that is not for us to take for a death."""
    host.script("read 64", "checkpoint", "checkpoint")
    read_fd, write_fd = stream
    with host.helper([read_fd]) as parent:
        begun(parent, read_fd, None)
        os.write(write_fd, START + LIBXC + CHECKPOINT_END)
        parent.answer(Checkpoint, 1)
        os.write(write_fd, pack_libxl_record(LibxlRecord.END))
        assert parent.expect(Complete) == Complete(-1, errno.EPROTO, False)
        assert "record of type 0 out of order" in parent.logs()


@pytest.mark.parametrize("where", ["within an epoch", "between two"])
def test_stream_that_is_taken_for_ended_leaves_the_last_whole_epoch(
    host: FakeHost, stream: tuple[int, int], tmp_path: Path, where: str
) -> None:
    """Its other end says nothing, and keeps it open."""
    last = "checkpoint" if where == "within an epoch" else "read-end 64"
    host.script("read 64", "checkpoint", last)
    read_fd, write_fd = stream
    path = tmp_path / "qemu-resume.9"
    with host.helper([read_fd]) as parent:
        begun(parent, read_fd, path)
        os.write(write_fd, START + LIBXC + epoch(b"k\0v\0", b"state"))
        parent.answer(Checkpoint, 1)
        parent.wait_until_idle()
        parent.send(FailOver())
        parent.expect(RestoreResults)
        parent.answer(ToolstackRestore, 0)
        assert parent.expect(Complete) == Complete(0, 0, False)
        assert parent.wait() == 0
    assert path.read_bytes() == b"state"


def test_abort_wins_over_what_is_held(
    host: FakeHost, stream: tuple[int, int], tmp_path: Path
) -> None:
    host.script("read 64", "checkpoint", "checkpoint")
    read_fd, write_fd = stream
    path = tmp_path / "qemu-resume.9"
    with host.helper([read_fd]) as parent:
        begun(parent, read_fd, path)
        os.write(write_fd, START + LIBXC + epoch(b"k\0v\0", b"state"))
        parent.answer(Checkpoint, 1)
        parent.send(Abort("stopped"))
        assert parent.expect(Complete) == Complete(-1, errno.ECANCELED, True)
    assert not path.exists()


def write_slowly(fd: int, data: bytes) -> None:
    """Write more than a pipe holds, while it is read."""
    while data:
        select.select([], [fd], [])
        data = data[os.write(fd, data[:4096]) :]
