"""Restores that fail leave no domain; what is wrong is told."""

import asyncio
import contextlib
import os
from pathlib import Path

import pytest

from libxlpy import (
    BackendError,
    Cancelled,
    Context,
    GuestState,
    JobError,
    StreamError,
    UsageError,
)
from libxlpy.operations.restore_simxen import SimxenRestore
from libxlpy.simxen.client import request
from tests.support.guest import Guest, aside


@pytest.fixture
async def image(ctx: Context, hvm: Guest, tmp_path: Path) -> tuple[Path, bytes]:
    """Give a saved HVM domain and its configuration."""
    config = await ctx.retrieve_config(hvm.domid)
    path = tmp_path / "image"
    with path.open("wb") as file:
        await (await ctx.domain_suspend(hvm.domid, file.fileno()))
    return path, config


def cut_off(path: Path, cut: int) -> None:
    os.truncate(path, cut if cut >= 0 else path.stat().st_size + cut)


def damage(path: Path, offset: int) -> None:
    data = bytearray(path.read_bytes())
    data[offset] ^= 0xFF
    path.write_bytes(data)


def domids(host: Path) -> set[int]:
    return {each["domid"] for each in request(host, "list")["domains"]}


async def failed(ctx: Context, path: Path, config: bytes) -> JobError:
    with path.open("rb") as file:
        job = await ctx.domain_restore(file.fileno(), config=config, name="copy")
        with pytest.raises(JobError) as caught:
            await job
    return caught.value


#: Where a stream of some 8 MiB is cut: bytes from the start, or from the end.
CUTS = [0, 1, 15, 24, 40, 100, 5000, 1 << 20, 4 << 20, -100_000, -5000, -9, -1]


@pytest.mark.parametrize("cut", CUTS)
async def test_cut_image_is_an_error_and_leaves_no_domain(
    ctx: Context, host: Path, image: tuple[Path, bytes], cut: int
):
    path, config = image
    await aside(cut_off, path, cut)
    before = domids(host)
    error = await failed(ctx, path, config)
    assert isinstance(error, StreamError), error
    assert domids(host) == before
    assert error.guest is GuestState.GONE
    assert "half-built domain destroyed" in error.repairs
    assert not await aside(lambda: list(host.glob("qemu-resume.*")))


@pytest.mark.parametrize("offset", [0, 8, 24, 48])
async def test_damaged_header_is_an_error(
    ctx: Context, host: Path, image: tuple[Path, bytes], offset: int
):
    path, config = image
    await aside(damage, path, offset)
    before = domids(host)
    await failed(ctx, path, config)
    assert domids(host) == before


async def test_taken_name_is_refused_before_anything_is_built(
    ctx: Context, host: Path, image: tuple[Path, bytes]
):
    path, config = image
    before = domids(host)
    with path.open("rb") as file:
        with pytest.raises(BackendError, match="name"):
            await ctx.domain_restore(file.fileno(), config=config)
        with pytest.raises(UsageError, match="configuration"):
            await ctx.domain_restore(file.fileno())
    assert domids(host) == before


async def test_cancelled_restore_leaves_no_domain(
    ctx: Context, host: Path, image: tuple[Path, bytes]
):
    _, config = image
    before = domids(host)
    reading, writing = os.pipe()
    job = await ctx.domain_restore(reading, config=config, name="copy")
    async for event in job.events():
        if getattr(event, "name", "") == "header":
            break  # it waits for bytes that never come
    await job.cancel()
    with pytest.raises(Cancelled):
        await job
    os.close(reading)
    os.close(writing)
    assert domids(host) == before


async def test_cancelled_call_leaves_no_domain(
    ctx: Context, host: Path, image: tuple[Path, bytes]
):
    path, config = image
    before = domids(host)
    with path.open("rb") as file:
        for turns in range(12):
            task = asyncio.create_task(
                ctx.domain_restore(file.fileno(), config=config, name="copy")
            )
            for _ in range(turns):
                await asyncio.sleep(0)
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                job = await task  # it was quicker
                await job.cancel()
    assert domids(host) == before


@pytest.mark.parametrize("place", ["_build", "prepare"])  # its domain is there
async def test_call_cancelled_before_its_job_has_begun_leaves_no_domain(
    ctx: Context,
    host: Path,
    image: tuple[Path, bytes],
    monkeypatch: pytest.MonkeyPatch,
    place: str,
):
    path, config = image
    before = domids(host)
    passed = getattr(SimxenRestore, place)

    async def cancels(operation: SimxenRestore) -> None:
        await passed(operation)
        task.cancel()
        await asyncio.sleep(0)

    monkeypatch.setattr(SimxenRestore, place, cancels)
    with path.open("rb") as file:
        task = asyncio.create_task(
            ctx.domain_restore(file.fileno(), config=config, name="copy")
        )
        with pytest.raises(asyncio.CancelledError):
            await task
    assert domids(host) == before


async def test_refused_stream_leaves_no_domain(
    ctx: Context, host: Path, image: tuple[Path, bytes]
):
    _, config = image
    reading, writing = os.pipe()
    first = await ctx.domain_restore(reading, config=config, name="first")
    before = domids(host)
    with pytest.raises(UsageError, match="another job uses this stream"):
        await ctx.domain_restore(reading, config=config, name="copy")
    assert domids(host) == before
    await first.cancel()
    os.close(reading)
    os.close(writing)


async def test_one_file_is_restored_from_several_times_at_once(
    ctx: Context, host: Path, image: tuple[Path, bytes]
):
    path, config = image
    with contextlib.ExitStack() as files:
        jobs = []
        for n in range(3):
            fd = files.enter_context(path.open("rb")).fileno()
            jobs.append(await ctx.domain_restore(fd, config=config, name=f"clone{n}"))
        clones = {(await job).domid for job in jobs}
    assert len(clones) == 3
    assert clones <= domids(host)
    for domid in clones:
        await ctx.domain_destroy(domid)
