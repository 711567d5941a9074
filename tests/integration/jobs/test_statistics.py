"""Figures of real jobs: they fit what the stream, the kernel and the clock say."""

import os
import signal
import time
from pathlib import Path

import pytest

from libxlpy import Context, JobError, PhaseEvent, SuspendFlags
from libxlpy.process.helper import start_process
from tests.support.guest import PATIENCE, Guest, aside


async def test_live_save_has_every_figure(ctx: Context, guest: Guest, tmp_path: Path):
    with (tmp_path / "image").open("wb") as file:
        job = await ctx.domain_suspend(guest.domid, file.fileno(), SuspendFlags.LIVE)
        seen = [figures async for figures in job.statistics_stream()]
        result = await job
        size = os.fstat(file.fileno()).st_size
    last = result.statistics
    assert last == seen[-1] == job.statistics == result.report.statistics
    assert last.transferred == size == result.bytes_written
    assert last.total == 8 << 20
    assert last.remaining == 0
    assert sum(each.pages_sent for each in last.history) == result.pages
    assert last.history[0].pages_sent * 4096 == last.total
    for one, after in zip(last.history, last.history[1:], strict=False):
        assert one.dirty_found == after.pages_sent
    assert last.mbps is not None
    assert last.mbps > 0
    assert last.setup_time is not None
    assert 0 < last.setup_time < last.total_time
    assert last.callbacks["suspend"].count == 1
    assert sum(last.callbacks["suspend"].buckets) == 1
    assert last.helper.max_rss_bytes > 0
    assert [each.transferred for each in seen] == sorted(
        each.transferred for each in seen
    )
    await ctx.domain_resume(guest.domid)


async def test_downtime_of_a_guest_that_is_resumed_lasts_until_then(
    ctx: Context, guest: Guest
):
    began = time.monotonic()
    with Path("/dev/null").open("wb") as null:
        job = await ctx.domain_suspend(guest.domid, null.fileno())
        result = await job
    handover = result.statistics.downtime
    assert handover is not None
    assert result.downtime_ns == round(handover * 1e6)
    waits = time.monotonic()
    await aside(guest.facts)
    waited = (time.monotonic() - waits) * 1000
    downtime = await ctx.domain_resume(guest.domid)
    assert downtime is not None
    assert handover + waited <= downtime <= (time.monotonic() - began) * 1000
    assert job.statistics.downtime == downtime


async def test_downtime_of_a_failed_save_lasts_until_the_repair(
    ctx: Context, pv: Guest
):
    with Path("/dev/null").open("wb") as null:
        job = await ctx.domain_suspend(pv.domid, null.fileno())
        async for event in job.events():
            if isinstance(event, PhaseEvent) and event.name == "suspended":
                assert job.helper_pid is not None
                os.kill(job.helper_pid, signal.SIGKILL)
        with pytest.raises(JobError) as caught:
            await job
    downtime = caught.value.details.statistics.downtime
    assert "guest resumed" in caught.value.repairs
    assert downtime is not None
    assert 0 < downtime < caught.value.details.statistics.total_time
    await aside(pv.assert_untouched)


async def test_guest_resumed_by_others_has_no_downtime_of_ours(
    ctx: Context, host: Path, pv: Guest
):
    with Path("/dev/null").open("wb") as null:
        await (await ctx.domain_suspend(pv.domid, null.fileno()))
    async with Context("simxen", host) as other:
        assert await other.domain_resume(pv.domid) is None
    await aside(pv.assert_untouched)


async def test_restore_has_its_figures(ctx: Context, pv: Guest, tmp_path: Path):
    config = await ctx.retrieve_config(pv.domid)
    with (tmp_path / "image").open("w+b") as file:
        await (await ctx.domain_suspend(pv.domid, file.fileno()))
        file.seek(0)
        name = f"{pv.name}-re"
        job = await ctx.domain_restore(file.fileno(), config=config, name=name)
        restored = await job
    figures = restored.statistics
    assert figures.transferred == restored.bytes_read
    assert figures.total == 8 << 20
    assert figures.downtime is None
    await ctx.domain_destroy(restored.domid)


async def test_io_is_the_helper_s_own_and_ends_with_it(nothing_blocks: None):
    process = await start_process(
        ["/bin/sh", "-c", "echo one; read line; exit 0"], (), PATIENCE
    )
    assert process.io_counts() is None
    process.count_io()
    before = process.io_counts()
    assert before is not None  # the tests run as root
    os.set_blocking(process.read_fd, True)
    assert await aside(os.read, process.read_fd, 16) == b"one\n"
    after = process.io_counts()
    assert after is not None
    assert after.write_chars >= before.write_chars
    assert after.write_chars >= len(b"one\n")
    os.write(process.write_fd, b"\n")
    await process.wait()
    assert not process.alive
    assert process.io_counts() is None
    assert process.io is not None
    assert process.io.write_chars >= after.write_chars
    process.close()


async def test_io_of_a_process_that_is_gone_is_not_taken(nothing_blocks: None):
    process = await start_process(["/bin/true"], (), PATIENCE)
    process.count_io()
    await process.wait()
    assert process.io_counts() is None
    process.close()
