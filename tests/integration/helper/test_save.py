"""A save from start to complete: callbacks, phases, records, refusals."""

import errno
import os
import stat
from pathlib import Path

import pytest

from libxlpy_protocol.enums import Image, Mode, StreamType, XcFlags
from libxlpy_protocol.messages import (
    Complete,
    Postcopy,
    PrecopyPolicy,
    Progress,
    Stat,
    Suspend,
    SwitchQemuLogdirty,
    ToolstackSave,
)
from libxlpy_protocol.stream.libxl import (
    EmulatorHeader,
    LibxlRecord,
    pack_emulator_header,
    pack_libxl_header,
    pack_libxl_record,
)
from libxlpy_protocol.table import CALLS
from tests.support.helper_driver import FakeHost, Parent

HVM = 2 | 32
LIBXL_START = pack_libxl_header() + pack_libxl_record(LibxlRecord.LIBXC_CONTEXT)
END = pack_libxl_record(LibxlRecord.END)


def image(stream_fd: int) -> bytes:
    return os.pread(stream_fd, 1 << 22, 0)


def begun(parent: Parent, fd: int, **fields: object) -> Parent:
    parent.greet()
    parent.start(**{"domid": 7, "stream_fd": fd, **fields})  # type: ignore[arg-type]
    return parent


def test_callbacks_carry_their_arguments_and_answers(
    host: FakeHost, stream_fd: int
) -> None:
    host.domains({7: HVM})
    host.script("logdirty-on", "policy", "suspend", "logdirty-off")
    with host.helper([stream_fd]) as parent:
        begun(parent, stream_fd, flags=XcFlags.LIVE | XcFlags.DEBUG)
        assert parent.answer(SwitchQemuLogdirty, 0) == SwitchQemuLogdirty(7, True)
        asked = parent.answer(PrecopyPolicy, 1)
        assert asked == PrecopyPolicy(0x1234, 0x123456789ABCDEF, -1)
        parent.answer(Suspend, 1)
        assert parent.answer(SwitchQemuLogdirty, -1) == SwitchQemuLogdirty(7, False)
        assert parent.expect(Complete) == Complete(0, 0, False)
        assert parent.wait() == 0
        logs = parent.logs()
    assert "save dom=7 flags=3 type=0 recv=-1" in logs
    answers = ["logdirty-on=0", "policy=1", "suspend=1", "logdirty-off=-1"]
    assert [line for line in logs if line in answers] == answers


def test_policy_that_is_not_offered_is_left_to_libxc(
    host: FakeHost, stream_fd: int
) -> None:
    host.script("policy")
    with host.helper([stream_fd]) as parent:
        begun(parent, stream_fd, calls=[Suspend])
        parent.expect(Complete)
        assert "policy=77" in parent.logs()


def test_checkpointed_stream_gets_its_type_and_back_channel(host: FakeHost) -> None:
    host.script("postcopy", "checkpoint", "wait")
    read_fd, write_fd = os.pipe()
    try:
        with host.helper([read_fd, write_fd]) as parent:
            fields = {"stream_type": StreamType.REMUS, "recv_fd": read_fd}
            begun(parent, write_fd, mode=Mode.REMUS, **fields)
            parent.answer(Postcopy, 1)
            parent.serve(dict.fromkeys(CALLS, 2))
            assert f"save dom=7 flags=0 type=1 recv={read_fd}" in parent.logs()
            assert {"postcopy=1", "checkpoint=2", "wait=2"} <= set(parent.logs())
    finally:
        os.close(read_fd)
        os.close(write_fd)


def test_raw_image_is_libxcs_alone(host: FakeHost, stream_fd: int) -> None:
    host.script("write 5000")
    with host.helper([stream_fd]) as parent:
        begun(parent, stream_fd)
        assert parent.expect(Complete).retval == 0
        assert parent.phases() == ["libxc", "flush"]
    assert image(stream_fd) == bytes(5000)


def test_libxl_image_of_a_pv_domain(host: FakeHost, stream_fd: int) -> None:
    host.script("write 8")
    with host.helper([stream_fd]) as parent:
        begun(parent, stream_fd, image=Image.LIBXL)
        assert parent.expect(Complete).retval == 0
        assert parent.phases() == ["header", "libxc", "end", "flush"]
    assert image(stream_fd) == LIBXL_START + bytes(8) + END


@pytest.mark.parametrize("size", [0, 1, 7, 8, 65536, 200_001])
def test_libxl_image_with_emulator_state(
    host: FakeHost, stream_fd: int, tmp_path: Path, size: int
) -> None:
    state = os.urandom(size)
    path = tmp_path / "qemu-save.7"
    path.write_bytes(state)
    host.script("write 8")
    with host.helper([stream_fd]) as parent:
        fields = {"emulator_id": 2, "emulator_path": str(path)}
        begun(parent, stream_fd, image=Image.LIBXL, **fields)
        parent.answer(ToolstackSave, b"key\0value\0")
        assert parent.expect(Complete).retval == 0
        assert parent.phases() == ["header", "libxc", "emulator", "end", "flush"]
    qemu = pack_emulator_header(EmulatorHeader(2))
    assert image(stream_fd) == (
        LIBXL_START
        + bytes(8)
        + pack_libxl_record(LibxlRecord.EMULATOR_XENSTORE_DATA, qemu + b"key\0value\0")
        + pack_libxl_record(LibxlRecord.EMULATOR_CONTEXT, qemu + state)
        + END
    )
    assert path.exists()  # the parent's to remove


def test_empty_toolstack_state_is_no_record(host: FakeHost, stream_fd: int) -> None:
    with host.helper([stream_fd]) as parent:
        begun(parent, stream_fd, image=Image.LIBXL, emulator_id=2)
        parent.answer(ToolstackSave, b"")
        assert parent.expect(Complete).retval == 0
    assert image(stream_fd) == LIBXL_START + END


def test_failed_toolstack_save_fails_the_save(host: FakeHost, stream_fd: int) -> None:
    with host.helper([stream_fd]) as parent:
        begun(parent, stream_fd, image=Image.LIBXL, emulator_id=2)
        parent.answer(ToolstackSave, None)
        assert parent.expect(Complete) == Complete(-1, errno.EIO, False)
        assert parent.wait() == 0


def bad_emulator_path(kind: str, folder: Path) -> Path:
    path = folder / kind
    if kind == "symlink":
        (folder / "target").write_bytes(b"secret")
        path.symlink_to(folder / "target")
    elif kind == "fifo":
        os.mkfifo(path)
    elif kind == "directory":
        path.mkdir()
    return path


@pytest.mark.parametrize(
    ("kind", "number"),
    [
        ("missing", errno.ENOENT),
        ("symlink", errno.ELOOP),
        ("fifo", errno.EINVAL),
        ("directory", errno.EINVAL),
    ],
)
def test_emulator_state_must_be_a_regular_file(
    host: FakeHost, stream_fd: int, tmp_path: Path, kind: str, number: int
) -> None:
    path = str(bad_emulator_path(kind, tmp_path))
    with host.helper([stream_fd]) as parent:
        fields = {"emulator_id": 2, "emulator_path": path}
        begun(parent, stream_fd, image=Image.LIBXL, calls=[Suspend], **fields)
        assert parent.expect(Complete) == Complete(-1, number, False)


def test_failure_of_libxc_carries_errno_and_ends_the_image_there(
    host: FakeHost, stream_fd: int
) -> None:
    host.script("write 8", f"fail {errno.EBUSY}")
    with host.helper([stream_fd]) as parent:
        begun(parent, stream_fd, image=Image.LIBXL)
        assert parent.expect(Complete) == Complete(-1, errno.EBUSY, False)
        assert parent.wait() == 0
    assert image(stream_fd) == LIBXL_START + bytes(8)


@pytest.mark.parametrize("img", list(Image))
def test_dead_receiver_is_epipe_and_libxc_cleans_up(host: FakeHost, img: Image) -> None:
    host.script("write 100000", "cleanup", "logdirty-off")
    host.domains({7: HVM})
    read_fd, write_fd = os.pipe()
    os.close(read_fd)
    with host.helper([write_fd]) as parent:
        os.close(write_fd)
        begun(parent, write_fd, image=img)
        if img is Image.RAW:
            parent.answer(SwitchQemuLogdirty, 0)
        assert parent.expect(Complete) == Complete(-1, errno.EPIPE, False)


def test_full_disk_is_enospc(host: FakeHost) -> None:
    full = os.open("/dev/full", os.O_WRONLY)
    host.script("write 1")
    try:
        with host.helper([full]) as parent:
            begun(parent, full)
            assert parent.expect(Complete) == Complete(-1, errno.ENOSPC, False)
    finally:
        os.close(full)


def test_non_blocking_stream_is_made_blocking_and_put_back(host: FakeHost) -> None:
    read_fd, write_fd = os.pipe()
    os.set_blocking(write_fd, False)
    host.script("write 200000")
    try:
        with host.helper([write_fd]) as parent:
            begun(parent, write_fd)
            left = 200_000
            while left:
                left -= len(os.read(read_fd, left))
            assert parent.expect(Complete) == Complete(0, 0, False)
        assert not os.get_blocking(write_fd)
    finally:
        os.close(read_fd)
        os.close(write_fd)


REFUSALS = {
    "no such domain": ({"domid": 8}, errno.ESRCH),
    "no suspend": ({"calls": ()}, errno.EINVAL),
    "hvm without switch_qemu_logdirty": ({"calls": [Suspend]}, errno.EINVAL),
    "remus without postcopy": (
        {"mode": Mode.REMUS, "stream_type": StreamType.REMUS, "calls": [Suspend]},
        errno.EINVAL,
    ),
    "no stream": ({"stream_fd": -1}, errno.EBADF),
    "stream that was not passed": ({"stream_fd": 0}, errno.EBADF),
    "back channel that was not passed": ({"recv_fd": 2}, errno.EBADF),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_impossible_start_is_refused_before_anything_is_written(
    host: FakeHost, stream_fd: int, case: str
) -> None:
    host.domains({7: HVM})
    fields, number = REFUSALS[case]
    with host.helper([stream_fd]) as parent:
        begun(parent, stream_fd, **fields)
        assert parent.expect(Complete) == Complete(-1, number, False)
        assert len(parent.logs()) == 3  # two of opening, one with the reason
        assert parent.wait() == 0
    assert image(stream_fd) == b""


def test_directory_is_no_stream(host: FakeHost, tmp_path: Path) -> None:
    fd = os.open(tmp_path, os.O_RDONLY)
    assert stat.S_ISDIR(os.fstat(fd).st_mode)
    try:
        with host.helper([fd]) as parent:
            begun(parent, fd)
            assert parent.expect(Complete) == Complete(-1, errno.EISDIR, False)
    finally:
        os.close(fd)


def test_stat_counts_bytes_and_pages(host: FakeHost, stream_fd: int) -> None:
    host.script("write 100000", "frames 500", "frames 900", "suspend")
    with host.helper([stream_fd]) as parent:
        begun(parent, stream_fd)
        parent.expect(Suspend)
        stat_now = parent.expect(Stat)
        while stat_now.pages != 900:
            stat_now = parent.expect(Stat)
        assert stat_now.phase == "libxc"
        assert stat_now.bytes_done == 100_000
        assert stat_now.iteration == 1
        assert stat_now.dropped == 0
        assert any(isinstance(message, Progress) for message in parent.seen)


def test_stat_counts_bytes_of_a_pipe(host: FakeHost) -> None:
    host.script("write 30000", "suspend")
    read_fd, write_fd = os.pipe()
    try:
        with host.helper([write_fd]) as parent:
            begun(parent, write_fd)
            parent.expect(Suspend)
            while parent.expect(Stat).bytes_done < 30_000:
                pass
    finally:
        os.close(read_fd)
        os.close(write_fd)
