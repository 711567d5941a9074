"""No domain runs from a stream whose END was not read, whatever the API and the way."""

import asyncio
import contextlib
import errno
import os
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from libxlpy import (
    Context,
    Deadlines,
    GuestState,
    JobError,
    RestoreCallbacks,
    StreamError,
    TimedOut,
)
from libxlpy.errors import Cancelled
from libxlpy.events import PhaseEvent
from libxlpy.jobs.job import Job
from libxlpy.jobs.stream_fd import StreamFd
from libxlpy.libxl import (
    DomidRef,
    libxl_ctx_alloc,
    libxl_ctx_free,
    libxl_domain_create_restore,
    libxl_outcome,
)
from libxlpy.libxl.codes import ERROR_FAIL
from libxlpy.results.of_jobs import RestoreResult
from libxlpy.simxen.client import request
from tests.support.guest import PATIENCE, Guest, aside

Image = tuple[Path, bytes]

#: Bytes that are missing: of libxl's END, and of libxc's, which a PV image has before.
CUTS = [*range(1, 17)]
END = 8
BEFORE = b"before"
LIBXL_FRONT = 24  # bytes before the libxc stream
MEMORY_MIB = 8


@pytest.fixture
async def image(ctx: Context, pv: Guest, tmp_path: Path) -> Image:
    """Give a saved domain that has no device model, and its configuration."""
    config = await ctx.retrieve_config(pv.domid)
    path = tmp_path / "image"
    with path.open("wb") as file:
        await (await ctx.domain_suspend(pv.domid, file.fileno()))
    return path, config


def domids(host: Path) -> set[int]:
    return {each["domid"] for each in request(host, "list")["domains"]}


def empty(host: Path) -> int:
    """Make a domain to restore into; give its domid."""
    fields = {"type": "pv", "memory_mib": MEMORY_MIB, "restore": True}
    domid: int = request(host, "create", name="copy", **fields)["domid"]
    return domid


def destroy(host: Path, domid: int) -> None:
    request(host, "destroy", domid=domid)


@contextlib.contextmanager
def from_file(image: Path, part: slice) -> Iterator[int]:
    """Give a part of an image as a file that begins with something else."""
    path = image.with_name("cut")
    path.write_bytes(BEFORE + image.read_bytes()[part])
    fd = os.open(path, os.O_RDONLY)
    os.lseek(fd, len(BEFORE), os.SEEK_SET)
    try:
        yield fd
        assert os.lseek(fd, 0, os.SEEK_CUR) == len(BEFORE)  # nobody has read
    finally:
        os.close(fd)


@contextlib.contextmanager
def from_pipe(image: Path, part: slice) -> Iterator[int]:
    reading, writing = os.pipe()

    def feed() -> None:
        with contextlib.suppress(BrokenPipeError), os.fdopen(writing, "wb") as pipe:
            pipe.write(image.read_bytes()[part])

    feeder = threading.Thread(target=feed)
    feeder.start()
    try:
        yield reading
    finally:
        os.close(reading)
        feeder.join(PATIENCE)


WAYS = {"file": from_file, "pipe": from_pipe}


@contextlib.asynccontextmanager
async def stream(way: str, image: Path, part: slice) -> AsyncIterator[int]:
    manager = WAYS[way](image, part)
    yield await aside(manager.__enter__)
    await aside(manager.__exit__, None, None, None)


async def failure(job: Job[RestoreResult], way: str) -> JobError:
    """Give why a restore failed; one from a file does so with nothing begun."""
    phases = [e.name async for e in job.events() if isinstance(e, PhaseEvent)]
    with pytest.raises(StreamError) as caught:
        await job
    assert ("spawn" in phases) is (way == "pipe")
    assert caught.value.errno == errno.ENODATA or way == "pipe"
    return caught.value


@pytest.mark.parametrize("way", WAYS)
async def test_restore(ctx: Context, host: Path, image: Image, way: str):
    path, config = image
    before = domids(host)
    for missing in CUTS:
        async with stream(way, path, slice(-missing)) as fd:
            job = await ctx.domain_restore(fd, config=config, name="copy")
            error = await failure(job, way)
        assert error.guest is GuestState.GONE, missing
        assert (str(path.with_name("cut")) in str(error)) is (way == "file")
        assert domids(host) == before


@pytest.mark.parametrize("way", WAYS)
async def test_low_level(ctx: Context, host: Path, image: Image, way: str):
    """Its stream is libxc's alone: libxenguest reads its END."""
    for missing in CUTS[:END]:
        domid = await aside(empty, host)
        part = slice(LIBXL_FRONT, -END - missing)
        async with stream(way, image[0], part) as fd:
            job = await ctx.xc_domain_restore(domid, fd, RestoreCallbacks())
            error = await failure(job, way)
        assert error.guest is GuestState.PAUSED, missing
        await aside(destroy, host, domid)


@pytest.mark.parametrize("way", WAYS)
async def test_libxl(host: Path, pv: Guest, image: Image, way: str):
    path, config = image
    await aside(pv.destroy)  # the name must be free
    before = domids(host)

    def restore_all() -> None:
        libxl = libxl_ctx_alloc("simxen", host)
        for missing in (1, END // 2, END, END + 1):
            domid = DomidRef()
            with WAYS[way](path, slice(-missing)) as fd:
                rc = libxl_domain_create_restore(libxl, config, domid, fd)
            assert rc == ERROR_FAIL
            assert isinstance(libxl_outcome(libxl), StreamError)
            assert domid.value == -1
        libxl_ctx_free(libxl)

    await aside(restore_all)
    assert domids(host) == before


# -- a disk that does not answer -------------------------------------------------------


@pytest.fixture
def silent(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """A file that can't be looked through; set when that is tried."""
    tried, over = threading.Event(), threading.Event()

    def check_input(*_: object) -> None:
        tried.set()
        over.wait(PATIENCE)

    monkeypatch.setattr(StreamFd, "check_input", check_input)
    yield tried
    over.set()


async def test_disk_that_does_not_answer_has_a_deadline(
    ctx: Context, host: Path, image: Image, silent: threading.Event
):
    before = domids(host)
    for deadlines in (Deadlines(check=0.1), Deadlines(total=0.1)):
        async with stream("file", image[0], slice(None)) as fd:
            job = await ctx.domain_restore(
                fd, config=image[1], name="copy", deadlines=deadlines
            )
            with pytest.raises(TimedOut) as caught:
                await job
        assert caught.value.seconds == 0.1
    assert domids(host) == before


async def test_cancelled_while_it_looks(
    ctx: Context, host: Path, image: Image, silent: threading.Event
):
    before = domids(host)
    async with stream("file", image[0], slice(None)) as fd:
        job = await ctx.domain_restore(fd, config=image[1], name="copy")
        await aside(silent.wait, PATIENCE)
        async with asyncio.timeout(PATIENCE / 2):
            await job.cancel()
        with pytest.raises(Cancelled):
            await job
    assert domids(host) == before
