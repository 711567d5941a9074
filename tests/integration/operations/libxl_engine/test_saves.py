"""Saves whose libxc stream is written by a helper that speaks libxl's wire."""

import asyncio
import os
import signal
import threading
from pathlib import Path

import pytest

from libxlpy import (
    Context,
    Deadlines,
    GuestState,
    HelperCrashed,
    ImageState,
    LogEvent,
    NotSupported,
    StatEvent,
    SuspendFlags,
    UsageError,
)
from libxlpy.simxen.client import request
from tests.support.guest import Guest, aside

#: Heartbeats of our helper, 0.4 s each.
LOOKS = 5
FLAGS = [SuspendFlags(0), SuspendFlags.LIVE, SuspendFlags.LIVE | SuspendFlags.DEBUG]


@pytest.mark.parametrize("flags", FLAGS)
async def test_saved_guest_comes_back_page_for_page(
    ctx: Context, guest: Guest, drop_in: str, flags: SuspendFlags, tmp_path: Path
):
    config = await ctx.retrieve_config(guest.domid)
    with (tmp_path / "image").open("w+b") as file:
        result = await (
            await ctx.domain_suspend(guest.domid, file.fileno(), flags, helper=drop_in)
        )
        assert result.guest is GuestState.SUSPENDED
        assert result.image is ImageState.COMPLETE
        assert result.bytes_written == os.fstat(file.fileno()).st_size
        assert result.pages >= 8 << 8
        assert bool(result.iterations) is bool(flags)
        saved = await aside(guest.verify)
        assert saved["match"]
        facts = await aside(guest.facts)
        assert (facts["logdirty"], facts["qemu_logdirty"] or False) == (False, False)
        assert not await aside((guest.host / f"qemu-save.{guest.domid}").exists)

        os.lseek(file.fileno(), 0, os.SEEK_SET)
        restored = await (
            await ctx.domain_restore(
                file.fileno(), config=config, name=f"{guest.name}-re", paused=True
            )
        )
    again = request(guest.host, "verify", domid=restored.domid)
    assert again["digest_memory"] == saved["digest_memory"]
    assert again["match"]
    await ctx.domain_destroy(restored.domid)
    await ctx.domain_resume(guest.domid)
    await aside(guest.assert_untouched)


async def test_context_says_it_for_all_jobs(
    host: Path, hvm: Guest, drop_in: str, nothing_blocks: None
):
    async with Context("simxen", host, helper=drop_in) as ctx:
        with Path("/dev/null").open("wb") as null:
            job = await ctx.domain_suspend(hvm.domid, null.fileno())
            assert "libxl-save-helper" in (await job).report.log_lines[-1]
            await ctx.domain_resume(hvm.domid)
            job = await ctx.domain_suspend(hvm.domid, null.fileno(), helper="own")
            assert "libxl-save-helper" not in str((await job).report.log_lines)
        await ctx.domain_resume(hvm.domid)
        await aside(hvm.assert_untouched)


class Pipe:
    """A stream whose reader counts, once it is let."""

    async def __aenter__(self) -> "Pipe":
        self.read_fd, self.fd = os.pipe()
        self.size = 0
        self._go = threading.Event()
        self._reader = asyncio.create_task(aside(self._count))
        return self

    def drain(self) -> None:
        """Let the reader read."""
        self._go.set()

    async def end(self) -> int:
        """Close the stream; give the bytes that came."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1
        self.drain()
        await self._reader
        return self.size

    async def __aexit__(self, *_: object) -> None:
        await self.end()
        os.close(self.read_fd)

    def _count(self) -> None:
        self._go.wait()
        while data := os.read(self.read_fd, 1 << 20):
            self.size += len(data)


async def test_bytes_into_a_pipe_are_counted(ctx: Context, pv: Guest, drop_in: str):
    async with Pipe() as pipe:
        pipe.drain()
        job = await ctx.domain_suspend(pv.domid, pipe.fd, helper=drop_in)
        stats = [event async for event in job.events() if isinstance(event, StatEvent)]
        result = await job
        size = await pipe.end()
    assert size > 8 << 20
    # In a pipe only what the kernel counts is known, our own messages included.
    assert 8 << 20 <= result.bytes_written < size + (1 << 20)
    assert [stat.bytes_done for stat in stats] == sorted(s.bytes_done for s in stats)
    await ctx.domain_resume(pv.domid)
    await aside(pv.assert_untouched)


async def test_slow_reader_is_not_taken_for_a_stall(ctx: Context, pv: Guest, liar):
    """The pipe is full for longer than the deadline of a helper that does nothing."""
    helper, deadlines = liar("waits_for_the_pipe"), Deadlines(stall=0.5)
    async with Pipe() as pipe:
        job = await ctx.domain_suspend(
            pv.domid, pipe.fd, deadlines=deadlines, helper=helper
        )
        looks = 0
        async for event in job.events():
            looks += isinstance(event, StatEvent)
            if looks == LOOKS:
                pipe.drain()
        assert looks > LOOKS
        assert (await job).bytes_written > 8 << 20
    await ctx.domain_resume(pv.domid)


async def test_log_lines_after_its_last_word_are_fine(ctx: Context, pv: Guest, liar):
    with Path("/dev/null").open("wb") as null:
        job = await ctx.domain_suspend(
            pv.domid, null.fileno(), helper=liar("logs_when_it_is_done")
        )
        assert "debug: xc: total alloc" in "\n".join((await job).report.log_lines)
    await ctx.domain_resume(pv.domid)


async def test_it_is_started_with_what_it_needs_and_nothing_else(
    ctx: Context, pv: Guest, liar
):
    with Path("/dev/null").open("wb") as null:
        job = await ctx.domain_suspend(
            pv.domid, null.fileno(), SuspendFlags.LIVE, helper=liar("tells_its_state")
        )
        told = {
            event.text.split(" ", 1)[0]: event.text.split(" ", 1)[1]
            async for event in job.events()
            if isinstance(event, LogEvent) and event.context == "xc"
        }
        await job
    await ctx.domain_resume(pv.domid)
    mode, fd, *numbers = told["argv"].split()
    assert mode == "--save-domain"
    assert numbers == ["-1", str(pv.domid), "1", str(1 << 3 | 1 << 7), "0"]
    assert told["fds"] == f"[{fd}]"
    assert told["ignored"] == "1"  # a dead receiver is an error, not its death
    assert told["death"] == str(int(signal.SIGTERM))
    assert told["environment"] == "['LANG', 'PATH']"


async def test_flags_of_the_stream_are_as_before(ctx: Context, pv: Guest, drop_in: str):
    async with Pipe() as pipe:
        pipe.drain()
        os.set_blocking(pipe.fd, False)
        await (await ctx.domain_suspend(pv.domid, pipe.fd, helper=drop_in))
        assert not os.get_blocking(pipe.fd)


@pytest.mark.parametrize(
    "choice",
    ["", "xen", "libxl:", "libxl:relative", "libxl:/nowhere", "libxl:/etc", "own:/x"],
)
async def test_what_is_no_helper_is_refused(ctx: Context, pv: Guest, choice: str):
    with Path("/dev/null").open("wb") as null, pytest.raises(UsageError):
        await ctx.domain_suspend(pv.domid, null.fileno(), helper=choice)
    await aside(pv.assert_untouched)


async def test_the_embedded_host_has_none_of_its_own(ctx: Context, pv: Guest):
    with (
        Path("/dev/null").open("wb") as null,
        pytest.raises(NotSupported, match="libxl:/path"),
    ):
        await ctx.domain_suspend(pv.domid, null.fileno(), helper="libxl")


async def test_a_program_that_can_not_run_is_a_crash(
    ctx: Context, pv: Guest, not_runnable: str
):
    with Path("/dev/null").open("wb") as null:
        job = await ctx.domain_suspend(pv.domid, null.fileno(), helper=not_runnable)
        with pytest.raises(HelperCrashed, match="No such file"):
            await job
    await aside(pv.assert_untouched)
