"""libxl takes the end of a stream for END; the drop-in does not."""

import errno
import os
import socket
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from libxlpy_helper.dropin import records
from libxlpy_helper.stream import Stream
from libxlpy_protocol.messages import Complete, RestoreResults
from libxlpy_protocol.stream.formats import REC_LENGTH_MAX
from tests.integration.helper.dropin.driver import LibxlParent, restore_argv
from tests.support.helper_driver import FakeHost
from tests.support.stream_samples import (
    EMULATOR_CONTEXT,
    END,
    LIBXC_CONTEXT,
    LIBXL_HEADER,
    XENSTORE_DATA,
    hvm_image,
    pv_image,
    record,
)

FRONT = LIBXL_HEADER + LIBXC_CONTEXT
LIBXC = bytes(64)  # what the fake reads
GOOD, BAD = Complete(0, 0, False), Complete(-1, errno.EPROTO, False)
NO_END = "the stream ends before its END"
RESULTS = RestoreResults(0x11, 0x22)


@pytest.fixture
def fake(host: FakeHost) -> FakeHost:
    host.script(f"read {len(LIBXC)}")
    return host


def test_memory_is_claimed_if_it_is_to_be(fake: FakeHost, stream_fd: int) -> None:
    """Under the real `xl` it is not, which has made room itself."""
    fake.domains({7: 32})
    os.pwrite(stream_fd, LIBXC, 0)
    argv = restore_argv(stream_fd)
    with LibxlParent(fake, argv, [stream_fd], claim=1000) as parent:
        parent.finish()
    assert fake.calls()[:1] == ["claim 7 1000"]


# -- under the real xl: a file ---------------------------------------------------------

RECORDS = {
    "pv": pv_image() + END,
    "hvm": hvm_image() + XENSTORE_DATA + EMULATOR_CONTEXT + END,
}


@pytest.mark.parametrize("kind", RECORDS)
def test_file_is_looked_through_first(
    fake: FakeHost, stream_fd: int, kind: str
) -> None:
    whole = RECORDS[kind]
    for missing in (*range(1, 18), len(whole) // 2, len(whole)):
        os.ftruncate(stream_fd, 0)
        os.pwrite(stream_fd, FRONT + whole[: len(whole) - missing], 0)
        os.lseek(stream_fd, len(FRONT), os.SEEK_SET)
        with LibxlParent(fake, restore_argv(stream_fd), [stream_fd]) as parent:
            assert parent.finish() == BAD
            assert NO_END in parent.logs()
            assert not any("restore dom" in text for text in parent.logs())
        assert os.lseek(stream_fd, 0, os.SEEK_CUR) == len(FRONT)


@pytest.mark.parametrize("kind", RECORDS)
@pytest.mark.parametrize("behind", [b"", b"behind"])
def test_whole_file_is_restored(
    fake: FakeHost, stream_fd: int, kind: str, behind: bytes
) -> None:
    os.pwrite(stream_fd, FRONT + RECORDS[kind] + behind, 0)
    os.lseek(stream_fd, len(FRONT), os.SEEK_SET)
    with LibxlParent(fake, restore_argv(stream_fd), [stream_fd]) as parent:
        parent.expect(RESULTS)
        assert parent.finish() == GOOD
    at = os.lseek(stream_fd, 0, os.SEEK_CUR)
    assert at == len(FRONT) + len(LIBXC)  # the rest is libxl's


# -- under the real xl: a pipe, a socket -----------------------------------------------


@pytest.fixture(params=["pipe", "socket"])
def ends(request: pytest.FixtureRequest) -> Iterator[tuple[int, int]]:
    """What is read, and what is written; the test closes that."""
    if request.param == "pipe":
        reading, writing = os.pipe()
    else:
        reading, writing = (each.detach() for each in socket.socketpair())
    yield reading, writing
    os.close(reading)


@pytest.mark.parametrize("given", [0, 4, 7])
def test_pipe_that_ends_is_told(
    fake: FakeHost, ends: tuple[int, int], given: int
) -> None:
    reading, writing = ends
    os.write(writing, LIBXC + END[:given])
    os.close(writing)
    with LibxlParent(fake, restore_argv(reading), [reading]) as parent:
        parent.expect(RESULTS)
        assert parent.finish() == BAD
        assert NO_END in parent.logs()


def test_slow_pipe_is_waited_for_and_nothing_is_taken(
    fake: FakeHost, ends: tuple[int, int]
) -> None:
    reading, writing = ends
    os.write(writing, LIBXC + END[:4])
    with LibxlParent(fake, restore_argv(reading), [reading]) as parent:
        parent.expect(RESULTS)
        os.write(writing, END[4:])
        assert parent.finish() == GOOD
    os.close(writing)
    assert os.read(reading, 100) == END


def test_wait_for_a_pipe_is_aborted(fake: FakeHost, ends: tuple[int, int]) -> None:
    reading, writing = ends
    os.write(writing, LIBXC)
    with LibxlParent(fake, restore_argv(reading), [reading]) as parent:
        parent.expect(RESULTS)
        parent.terminate()
        parent.finish(aborted=True)
    os.close(writing)


# -- under our build helper: libxl gets a file of ours in the stream's place -----------


@pytest.fixture
def for_libxl() -> Iterator[int]:
    """What libxl has read the front of."""
    fd = os.memfd_create("libxl")
    os.write(fd, FRONT)
    yield fd
    os.close(fd)


def under_builder(host: FakeHost, source: int, for_libxl: int) -> LibxlParent:
    return LibxlParent(host, restore_argv(for_libxl), [source, for_libxl], source)


STATE = record(3, bytes([2]) + bytes(7) + os.urandom(1_000_003))


@pytest.mark.parametrize("data", [b"", XENSTORE_DATA + STATE, STATE])
def test_records_are_handed_on(
    fake: FakeHost, tmp_path: Path, for_libxl: int, data: bytes
) -> None:
    path = tmp_path / "stream"
    path.write_bytes(LIBXC + data + END + b"behind")
    with path.open("rb", buffering=0) as source:
        with under_builder(fake, source.fileno(), for_libxl) as parent:
            parent.expect(RESULTS)
            assert parent.finish() == GOOD
        assert source.read() == b"behind"
    assert os.read(for_libxl, 1 << 24) == data + END  # where libxl goes on


TOO_LONG = struct.pack("<II", 1 << 31, REC_LENGTH_MAX + 1)
CUT = {f"lacks {n}": (STATE + END)[:-n] for n in (*range(1, 9), 100, len(STATE) + 8)}
WRONG = {name: (cut, NO_END) for name, cut in CUT.items()}
WRONG["too long"] = (TOO_LONG, f"more than {REC_LENGTH_MAX}")


@pytest.mark.parametrize("case", WRONG)
def test_records_that_are_not_handed_on(
    fake: FakeHost, tmp_path: Path, for_libxl: int, case: str
) -> None:
    data, told = WRONG[case]
    path = tmp_path / "stream"
    path.write_bytes(LIBXC + data)
    source = os.open(path, os.O_RDONLY)
    with under_builder(fake, source, for_libxl) as parent:
        parent.expect(RESULTS)
        assert parent.finish() == BAD
        assert any(told in text for text in parent.logs())
    os.close(source)


def test_records_have_a_limit(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, for_libxl: int
) -> None:
    monkeypatch.setattr(records, "RECORDS_MAX", 100)
    path = tmp_path / "stream"
    path.write_bytes(record(1 << 31, bytes(32)) * 3 + END)
    with path.open("rb", buffering=0) as source:
        stream = Stream(source.fileno(), lambda: None)
        with pytest.raises(OSError, match="exceed 100 bytes"):
            records.hand_on(stream, for_libxl)


def test_handing_on_is_aborted(fake: FakeHost, for_libxl: int) -> None:
    reading, writing = os.pipe()
    os.write(writing, LIBXC + END[:4])
    with under_builder(fake, reading, for_libxl) as parent:
        parent.expect(RESULTS)
        parent.terminate()
        parent.finish(aborted=True)
    for fd in (reading, writing):
        os.close(fd)
