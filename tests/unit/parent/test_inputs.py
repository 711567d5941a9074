"""What goes in is checked: deadlines, flags, configuration, descriptors, files."""

import asyncio
import json
import os
from pathlib import Path
from typing import Any

import pytest

from libxlpy import errors
from libxlpy.callbacks import NAMES, SaveCallbacks, offered
from libxlpy.deadlines import Deadlines
from libxlpy.domain import toolstack_simxen as configuration
from libxlpy.domain.device_model import checked_pairs
from libxlpy.jobs.stream_fd import StreamFd
from libxlpy.operations.flags import SuspendFlags, xc_flags
from libxlpy.save_file import SaveFile

# ----- inputs -------------------------------------------------------------------------


@pytest.mark.parametrize("value", [0, -1, float("nan"), None, "5", True])
def test_deadline_that_is_no_bound_is_refused(value: Any):
    with pytest.raises(errors.UsageError, match="hello must be a positive number"):
        Deadlines(hello=value)
    with pytest.raises(errors.UsageError, match="of callback suspend"):
        Deadlines(per_callback={"suspend": value})


def test_only_two_deadlines_may_be_none_and_only_callbacks_have_their_own():
    endless = Deadlines(total=None, no_progress=None)
    assert (endless.total, endless.no_progress) == (None, None)
    with pytest.raises(errors.UsageError, match="no callback 'suspends'"):
        Deadlines(per_callback={"suspends": 1.0})


def test_flags_are_translated_one_by_one():
    assert int(xc_flags(SuspendFlags.LIVE)) == 1
    assert int(xc_flags(SuspendFlags.DEBUG)) == 2
    with pytest.raises(errors.UsageError):
        xc_flags(SuspendFlags(4))


def test_only_given_callbacks_are_offered():
    async def suspend() -> int:
        return 1

    kinds = offered(SaveCallbacks(suspend=suspend))
    assert [NAMES[kind] for kind in kinds] == ["suspend"]


@pytest.mark.parametrize(
    ("data", "pairs"),
    [
        (b"", []),
        (b"physmap/0/size\x0010\0", [(b"physmap/0/size", b"10")]),
        (b"a\0\0b\0c\0", [(b"a", b""), (b"b", b"c")]),
    ],
)
def test_emulator_nodes_are_cut_into_pairs(data: bytes, pairs: list[object]):
    assert checked_pairs(data) == pairs


@pytest.mark.parametrize(
    "data",
    [
        b"no end",
        b"odd\0",
        b"/absolute\0v\0",
        b"../../../tool\0v\0",
        b"a/../b\0v\0",
        b"a/./b\0v\0",
        b"a//b\0v\0",
        b"\0v\0",
        b"sp ace\0v\0",
        b"a" * 300 + b"\0v\0",
        b"k\0" + b"v" * 5000 + b"\0",
    ],
)
def test_emulator_nodes_that_could_harm_are_refused(data: bytes):
    with pytest.raises(errors.XenstoreError):
        checked_pairs(data)


def test_configuration_travels_whole():
    config = {
        "c_info": {"name": "web", "type": "hvm"},
        "b_info": {"max_memkb": 8193, "max_vcpus": 2},
        "simxen": {"free": 1},
    }
    fields = configuration.domain_fields(json.dumps(config).encode() + b"\0")
    assert fields == {
        "name": "web",
        "type": "hvm",
        "memory_mib": 9,
        "vcpus": 2,
        "config": {"free": 1},
    }


@pytest.mark.parametrize("config", [None, b"", b"{", b"[]", b'{"c_info": {}}', b"\xff"])
def test_useless_configuration_is_refused(config: bytes | None):
    with pytest.raises(errors.UsageError):
        configuration.domain_fields(config)


# ----- descriptors --------------------------------------------------------------------


def test_stream_is_duplicated_above_stdio_and_flags_come_back():
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    stream = StreamFd(writing, "write")
    assert stream.fd > 2
    assert stream.fd != writing
    assert os.get_blocking(writing)
    assert stream.moved()  # nobody can tell for a pipe
    stream.close()
    stream.close()
    assert not os.get_blocking(writing)
    os.close(reading)
    os.close(writing)


def test_file_that_was_not_touched_is_known_as_such(tmp_path: Path):
    with (tmp_path / "image").open("wb", buffering=0) as file:
        file.write(b"head")
        stream = StreamFd(file.fileno(), "write")
        assert not stream.moved()
        file.write(b"more")
        assert stream.moved()
        stream.close()


@pytest.mark.parametrize(
    ("flags", "access"),
    [(os.O_RDONLY, "write"), (os.O_WRONLY, "read"), (os.O_PATH, "read")],
)
def test_stream_of_the_wrong_kind_is_refused(flags: int, access: str):
    fd = os.open("/dev/null", flags)
    with pytest.raises(errors.UsageError):
        StreamFd(fd, access)  # type: ignore[arg-type]
    os.close(fd)


@pytest.mark.parametrize("fd", [-1, 987654, 1 << 40])
def test_number_that_is_no_descriptor_is_refused(fd: int):
    with pytest.raises(errors.UsageError):
        StreamFd(fd, "write")


# ----- files --------------------------------------------------------------------------


async def test_save_file_is_opened_and_put_in_its_place_beside_the_loop(tmp_path: Path):
    path = tmp_path / "web.save"
    file = await SaveFile.when_free(path, b"head")
    await asyncio.to_thread(file.commit)
    file.close()
    assert await asyncio.to_thread(path.read_bytes) == b"head"


async def test_save_file_whose_opener_is_cancelled_is_not_left(tmp_path: Path):
    path = tmp_path / "web.save"
    opening = asyncio.create_task(SaveFile.when_free(path, b"head"))
    await asyncio.sleep(0)
    opening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await opening
    assert await asyncio.to_thread(os.listdir, tmp_path) == []
