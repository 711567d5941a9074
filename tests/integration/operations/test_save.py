"""Saves and restores of real simxen domains through the real helper."""

import asyncio
import fcntl
import os
import socket
from pathlib import Path

import pytest

from libxlpy import (
    Context,
    DomainBusy,
    DomainNotFound,
    GuestState,
    ImageState,
    NotSupported,
    PhaseEvent,
    RestoreCallbacks,
    SaveCallbacks,
    StatEvent,
    SuspendFlags,
    UsageError,
)
from libxlpy.domain import hypercalls
from libxlpy.process import environment
from libxlpy.simxen.client import request
from libxlpy_protocol.messages import Hello, Message
from tests.support.guest import Guest, aside

FLAGS = [SuspendFlags(0), SuspendFlags.LIVE, SuspendFlags.LIVE | SuspendFlags.DEBUG]


@pytest.mark.parametrize("flags", FLAGS)
async def test_saved_guest_is_suspended_and_comes_back_the_same(
    ctx: Context, guest: Guest, flags: SuspendFlags, tmp_path: Path
):
    config = await ctx.retrieve_config(guest.domid)
    with (tmp_path / "image").open("w+b") as file:
        result = await (await ctx.domain_suspend(guest.domid, file.fileno(), flags))
        assert result.guest is GuestState.SUSPENDED
        assert result.image is ImageState.COMPLETE
        assert result.bytes_written == os.fstat(file.fileno()).st_size
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
    assert restored.guest is GuestState.PAUSED
    again = request(guest.host, "verify", domid=restored.domid)
    assert again["digest_memory"] == saved["digest_memory"]
    assert again["match"]
    assert restored.bytes_read == result.bytes_written
    await ctx.domain_destroy(restored.domid)
    await ctx.domain_resume(guest.domid)
    await aside(guest.assert_untouched)


async def test_restore_from_a_pipe_counts_what_it_read(ctx: Context, pv: Guest):
    config = await ctx.retrieve_config(pv.domid)
    reading, writing = os.pipe()
    save = await ctx.domain_suspend(pv.domid, writing)
    restore = await ctx.domain_restore(reading, config=config, name=f"{pv.name}-re")
    result = await save
    os.close(writing)
    restored = await restore
    os.close(reading)
    memory = result.pages * 4096
    assert memory <= restored.bytes_read <= result.bytes_written
    await ctx.domain_destroy(restored.domid)


async def test_one_helper_makes_all_hypercalls_around_a_long_job(
    ctx: Context, pv: Guest, monkeypatch: pytest.MonkeyPatch
):
    greeted: list[Message] = []

    def look(direction: str, message: Message) -> None:
        if direction == "<" and isinstance(message, Hello):
            greeted.append(message)

    ctx._observer = look
    reading, writing = os.pipe()
    job = await ctx.domain_suspend(pv.domid, writing)
    monkeypatch.setattr(
        environment, "LINGER", 0.0
    )  # as if it were a long one from here on
    await ctx.list_domains()
    await asyncio.sleep(0)
    drain = asyncio.create_task(aside(read_to_end, reading))
    await job
    os.close(writing)
    await drain
    assert len(greeted) == 2, "one for the save, one for all the rest"
    await ctx.domain_resume(pv.domid)


def read_to_end(fd: int) -> None:
    with os.fdopen(fd, "rb") as pipe:
        while pipe.read(1 << 16):
            pass


async def test_pvh_guest_needs_no_device_model(ctx: Context, host: Path):
    with Guest(host, "pvh") as guest, Path("/dev/null").open("wb") as null:
        result = await (
            await ctx.domain_suspend(guest.domid, null.fileno(), SuspendFlags.LIVE)
        )
        assert result.guest is GuestState.SUSPENDED


async def test_hvm_without_drivers_is_suspended_by_hypercall(ctx: Context, host: Path):
    with (
        Guest(host, "hvm", pv_drivers=False) as guest,
        Path("/dev/null").open("wb") as null,
    ):
        await (await ctx.domain_suspend(guest.domid, null.fileno()))
        await ctx.domain_resume(guest.domid)
        await aside(guest.assert_untouched)


async def test_suspended_guest_can_be_saved_again_and_stays_suspended(
    ctx: Context, guest: Guest
):
    with Path("/dev/null").open("wb") as null:
        await (await ctx.domain_suspend(guest.domid, null.fileno()))
        result = await (await ctx.domain_suspend(guest.domid, null.fileno()))
        assert result.guest is GuestState.SUSPENDED
    await ctx.domain_resume(guest.domid)
    await aside(guest.assert_untouched)


async def test_stream_flags_are_as_before_and_the_descriptor_stays_open(
    ctx: Context, pv: Guest
):
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    drain = asyncio.create_task(aside(_read_all, theirs))
    await (await ctx.domain_suspend(pv.domid, ours.fileno()))
    assert fcntl.fcntl(ours, fcntl.F_GETFL) & os.O_NONBLOCK
    ours.close()
    assert await drain > 8 << 20
    theirs.close()


def _read_all(sock: socket.socket) -> int:
    size = 0
    while data := sock.recv(1 << 20):
        size += len(data)
    return size


async def test_events_tell_phases_and_figures(ctx: Context, pv: Guest):
    with Path("/dev/null").open("wb") as null:
        job = await ctx.domain_suspend(pv.domid, null.fileno(), SuspendFlags.LIVE)
        events = [event async for event in job.events()]
        await job
    phases = [event.name for event in events if isinstance(event, PhaseEvent)]
    assert phases[:5] == ["spawn", "hello", "start", "header", "libxc"]
    assert phases[-2:] == ["settle", "done"]
    assert len(set(phases)) == len(phases)
    assert any(isinstance(event, StatEvent) for event in events)


async def test_domains_are_listed_and_found(ctx: Context, guest: Guest):
    found = {info.domid: info for info in await ctx.list_domains()}
    info = found[guest.domid]
    assert (info.name, info.type) == (guest.name, guest.kind)
    assert info.memory_kib == 8 << 10
    assert await ctx.resolve(guest.name) == guest.domid
    assert await ctx.resolve(str(guest.domid)) == guest.domid
    with pytest.raises(DomainNotFound):
        await ctx.resolve("nobody")


# ----- what can't be saved ------------------------------------------------------------


async def test_second_save_of_a_domain_is_refused_and_harms_nothing(
    ctx: Context, pv: Guest
):
    with Path("/dev/null").open("wb") as null:
        job = await ctx.domain_suspend(pv.domid, null.fileno(), SuspendFlags.LIVE)
        with pytest.raises(DomainBusy, match="a save is under way"):
            await ctx.domain_suspend(pv.domid, null.fileno())
        with pytest.raises(DomainBusy):
            await ctx.domain_destroy(pv.domid)
        assert (await job).guest is GuestState.SUSPENDED


async def test_live_save_of_a_pv_guest_needs_a_xen_that_can_log_its_writes(
    ctx: Context, guest: Guest, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(hypercalls, "CAN_SHADOW", 1 << 30)  # what simxen can't
    with Path("/dev/null").open("wb") as null:
        save = ctx.domain_suspend(guest.domid, null.fileno(), SuspendFlags.LIVE)
        if guest.kind == "pv":
            with pytest.raises(NotSupported, match="no log-dirty mode for PV guests"):
                await save
        else:
            await (await save)
            await ctx.domain_resume(guest.domid)
    await aside(guest.assert_untouched)


async def test_unknown_domain_and_useless_descriptors_are_refused(
    ctx: Context, pv: Guest
):
    with Path("/dev/null").open("wb") as null, Path("/dev/null").open("rb") as read:
        with pytest.raises(DomainNotFound):
            await ctx.domain_suspend(32000, null.fileno())
        with pytest.raises(UsageError):
            await ctx.domain_suspend(-1, null.fileno())
        with pytest.raises(UsageError, match="not open to write"):
            await ctx.domain_suspend(pv.domid, read.fileno())
        with pytest.raises(UsageError, match="unknown flags"):
            await ctx.domain_suspend(pv.domid, null.fileno(), SuspendFlags(8))
    with pytest.raises(UsageError, match="not usable"):
        await ctx.domain_suspend(pv.domid, 999)
    with pytest.raises(UsageError, match="not suspended"):
        await ctx.domain_resume(pv.domid)
    await aside(pv.assert_untouched)


# ----- low level ----------------------------------------------------------------------


async def test_low_level_save_asks_the_callers_coroutines(
    ctx: Context, hvm: Guest, tmp_path: Path
):
    asked: list[object] = []

    async def suspend() -> int:
        asked.append("suspend")
        await aside(lambda: request_suspend(hvm))
        return 1

    async def switch(domid: int, enable: bool) -> int:
        asked.append(enable)
        return 0

    async def policy(stats: object) -> int:
        asked.append("policy")
        return 1

    callbacks = SaveCallbacks(
        suspend=suspend, switch_qemu_logdirty=switch, precopy_policy=policy
    )
    with (tmp_path / "raw").open("w+b") as file:
        job = await ctx.xc_domain_save(
            hvm.domid, file.fileno(), callbacks, SuspendFlags.LIVE
        )
        assert (await job).image is ImageState.COMPLETE
        assert asked[0] is True
        assert asked[-1] is False
        assert {"policy", "suspend"} < {each for each in asked if each}
        file.seek(0)
        answer = request(
            hvm.host,
            "create",
            name=f"{hvm.name}-raw",
            type="hvm",
            memory_mib=8,
            restore=True,
        )
        restore = await ctx.xc_domain_restore(
            answer["domid"], file.fileno(), RestoreCallbacks()
        )
        assert (await restore).store_gfn > 0
    request(hvm.host, "destroy", domid=answer["domid"])


def request_suspend(guest: Guest) -> None:
    """Suspend a guest by hypercall, as a toolstack of its own would."""
    from tests.support.simxen_clients import Hypervisor

    hypervisor = Hypervisor(guest.host)
    hypervisor.ok(Hypervisor.SHUTDOWN, guest.domid, 2)
    hypervisor.sock.close()
