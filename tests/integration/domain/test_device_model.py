"""The device model in a save: few connections, and no byte that is not its own.

It serves one client: while the guest is suspended that may have to be its helper. So
the connection is left then, and another one made for what follows.
"""

import os
from pathlib import Path

import pytest

from libxlpy import CallbackFailed, Context, GuestState, SuspendFlags
from libxlpy.domain import qmp
from libxlpy.domain.qmp import Qmp
from libxlpy.errors import QmpError
from tests.support.failing import outcome
from tests.support.guest import Guest, aside
from tests.support.other_user import OTHER

LIVE = SuspendFlags.LIVE
JUNK = b"\xa5" * (1 << 20)


@pytest.fixture
def connections(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Give the sockets that were connected to, in order."""
    made: list[Path] = []
    connect = qmp.connect

    async def counted(path: Path, *, timeout: float) -> Qmp:
        made.append(path)
        return await connect(path, timeout=timeout)

    monkeypatch.setattr(qmp, "connect", counted)
    return made


async def test_one_connection_serves_until_the_guest_is_suspended(
    ctx: Context, hvm: Guest, connections: list[Path]
):
    with Path("/dev/null").open("wb") as null:
        await (await ctx.domain_suspend(hvm.domid, null.fileno(), LIVE))
    assert len(connections) == 2
    await ctx.domain_resume(hvm.domid)
    await aside(hvm.assert_untouched)


async def test_the_repair_goes_on_with_a_connection_that_works(
    ctx: Context, hvm: Guest, connections: list[Path]
):
    hvm.misbehave("never_ack")
    with Path("/dev/null").open("wb") as null:
        await outcome(await ctx.domain_suspend(hvm.domid, null.fileno(), LIVE))
    assert len(connections) == 1
    await aside(hvm.assert_untouched)


@pytest.mark.parametrize("fault", ["qmp_silent", "qmp_garbage"])
async def test_the_repair_makes_a_new_one_if_it_broke(
    ctx: Context, hvm: Guest, connections: list[Path], fault: str
):
    hvm.misbehave(fault, command="stop", once=True)
    with Path("/dev/null").open("wb") as null:
        error = await outcome(await ctx.domain_suspend(hvm.domid, null.fileno(), LIVE))
    assert isinstance(error, CallbackFailed)
    assert error.guest is GuestState.RUNNING
    assert len(connections) == 3  # the one that broke, to log no more, the repair's
    await aside(hvm.assert_untouched)


@pytest.mark.parametrize("flags", [LIVE, SuspendFlags(0)])
@pytest.mark.parametrize("fault", ["qmp_silent", "qmp_garbage"])
async def test_a_guest_without_device_model_is_not_asked(
    ctx: Context, hvm: Guest, fault: str, flags: SuspendFlags
):
    hvm.misbehave(fault, command="query-status", once=True)
    with Path("/dev/null").open("wb") as null:
        error = await outcome(await ctx.domain_suspend(hvm.domid, null.fileno(), flags))
    assert isinstance(error, CallbackFailed)
    assert isinstance(error.__cause__, QmpError)
    assert error.guest is GuestState.RUNNING
    assert error.details.statistics.downtime is None
    await aside(hvm.assert_untouched)


async def test_state_of_an_earlier_save_is_not_saved_again(ctx: Context, hvm: Guest):
    state = hvm.host / f"qemu-save.{hvm.domid}"
    await aside(state.write_bytes, JUNK)
    with Path("/dev/null").open("wb") as null:
        result = await (await ctx.domain_suspend(hvm.domid, null.fileno()))
    assert result.bytes_written < (8 << 20) + len(JUNK)
    assert not await aside(state.exists)
    await ctx.domain_resume(hvm.domid)
    await aside(hvm.assert_untouched)


async def test_file_of_another_user_in_its_place_is_left_alone(
    ctx: Context, hvm: Guest
):
    state = hvm.host / f"qemu-save.{hvm.domid}"
    await aside(state.write_bytes, JUNK)
    await aside(os.chown, state, OTHER, OTHER)
    with Path("/dev/null").open("wb") as null:
        error = await outcome(await ctx.domain_suspend(hvm.domid, null.fileno()))
    assert "can't make the device model's state file" in str(error)
    assert error.guest is GuestState.RUNNING
    assert await aside(state.read_bytes) == JUNK
    await aside(state.unlink)
    await aside(hvm.assert_untouched)
