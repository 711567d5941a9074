"""The low-level functions with streams that have checkpoints in them."""

import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from libxlpy import (
    CallbackFailed,
    Context,
    GuestState,
    ImageState,
    RestoreCallbacks,
    RestoreResult,
    SaveCallbacks,
    StreamType,
    SuspendFlags,
    UsageError,
)
from libxlpy.simxen.client import request
from tests.support.guest import Guest, aside
from tests.support.simxen_clients import Hypervisor

CHECKPOINTS = 3
REMUS = StreamType.REMUS


class Protected:
    """A guest that a toolstack takes checkpoints of; the last leaves it suspended."""

    def __init__(self, guest: Guest) -> None:
        self._guest = guest
        self._taken = 0
        self.callbacks = SaveCallbacks(
            suspend=self._suspend, postcopy=self._postcopy, checkpoint=self._checkpoint
        )

    async def _suspend(self) -> int:
        await aside(self._hypercall, Hypervisor.SHUTDOWN, 2)
        return 1

    async def _postcopy(self) -> int:
        self._taken += 1
        if self._taken < CHECKPOINTS:
            await aside(self._hypercall, Hypervisor.RESUME, 1)
        return int(self._taken < CHECKPOINTS)

    async def _checkpoint(self) -> int:
        return 1

    def _hypercall(self, number: int, argument: int) -> None:
        hypervisor = Hypervisor(self._guest.host)
        hypervisor.ok(number, self._guest.domid, argument)
        hypervisor.sock.close()


@pytest.fixture
async def stream(ctx: Context, pv: Guest, tmp_path: Path) -> Path:
    """Give a file with checkpoints, the last of them of the guest as it stands."""
    path = tmp_path / "stream"
    with path.open("wb") as file:
        job = await ctx.xc_domain_save(
            pv.domid,
            file.fileno(),
            Protected(pv).callbacks,
            SuspendFlags.LIVE,
            stream_type=REMUS,
        )
        result = await job
    assert result.image is ImageState.COMPLETE
    assert result.guest is GuestState.SUSPENDED
    return path


@pytest.fixture
def empty(pv: Guest) -> Any:
    """Give the domid of a domain to restore into."""
    name = f"{pv.name}-re"
    fields = {"type": "pv", "memory_mib": 8, "restore": True}
    domid = request(pv.host, "create", name=name, **fields)["domid"]
    yield domid
    request(pv.host, "destroy", domid=domid)


async def restored_by(
    ctx: Context, empty: int, stream: Path, checkpoint: Callable[[], Awaitable[int]]
) -> RestoreResult:
    with stream.open("rb") as file:
        callbacks = RestoreCallbacks(checkpoint=checkpoint)
        return await (
            await ctx.xc_domain_restore(
                empty, file.fileno(), callbacks, stream_type=REMUS
            )
        )


async def test_checkpointed_stream_is_restored_to_its_last_checkpoint(
    ctx: Context, pv: Guest, empty: int, stream: Path
):
    seen: list[int] = []

    async def checkpoint() -> int:
        seen.append(len(seen))
        return 1

    restored = await restored_by(ctx, empty, stream, checkpoint)
    assert seen == [*range(CHECKPOINTS)]
    assert restored.store_gfn > 0
    saved = await aside(pv.verify)
    again = await aside(lambda: request(pv.host, "verify", domid=empty))
    assert again["match"]
    assert again["digest_memory"] == saved["digest_memory"]


async def test_checkpoint_that_fails_fails_the_restore(
    ctx: Context, empty: int, stream: Path
):
    async def checkpoint() -> int:
        return 0

    with pytest.raises(CallbackFailed) as caught:
        await restored_by(ctx, empty, stream, checkpoint)
    assert (caught.value.name, caught.value.value) == ("checkpoint", 0)
    assert caught.value.guest is GuestState.PAUSED


@pytest.mark.parametrize("wrong", [1, "REMUS", None])
async def test_stream_type_that_is_none_is_refused(ctx: Context, pv: Guest, wrong: Any):
    callbacks = RestoreCallbacks()
    with Path(os.devnull).open("rb") as null:
        restore = ctx.xc_domain_restore(
            pv.domid, null.fileno(), callbacks, stream_type=wrong
        )
        with pytest.raises(UsageError, match="must be one of PLAIN, REMUS"):
            await restore


async def test_checkpoints_need_somebody_to_take_them(ctx: Context, pv: Guest):
    async def suspend() -> int:
        return 0

    with Path(os.devnull).open("r+b") as null:
        fd = null.fileno()
        none, asked = RestoreCallbacks(), SaveCallbacks(suspend=suspend)
        restore = ctx.xc_domain_restore(pv.domid, fd, none, stream_type=REMUS)
        with pytest.raises(UsageError, match="REMUS needs the callback checkpoint"):
            await restore
        save = ctx.xc_domain_save(pv.domid, fd, asked, stream_type=REMUS)
        with pytest.raises(UsageError, match="REMUS needs the callback checkpoint"):
            await save
    await aside(pv.assert_untouched)
