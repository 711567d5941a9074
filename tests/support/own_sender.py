"""A sender in our own handshake, played by a test, with a domain that was saved."""

import asyncio
import contextlib
import uuid
from collections.abc import Awaitable, Callable
from pathlib import Path

from libxlpy import Context, MigrationHooks, RestoreResult
from libxlpy_protocol.migration.own import READY, VERSION, Offer
from tests.support.own_peer import DEADLINES, OwnPeer

Script = Callable[[OwnPeer], Awaitable[None]]
#: Bytes of what xl writes before the configuration.
XL_HEAD = 52


class Saved:
    """A saved domain, as it is offered and sent."""

    def __init__(self, image: Path) -> None:
        data = image.read_bytes()
        #: Domid that is in use.
        self.taken = -1
        size = int.from_bytes(data[XL_HEAD - 4 : XL_HEAD], "little")
        self.config = data[XL_HEAD : XL_HEAD + size]
        self.stream = data[XL_HEAD + size :]

    def offer(self, **changes: object) -> Offer:
        offer = Offer(
            version=VERSION,
            min_version=1,
            package="test",
            job=uuid.uuid4().bytes,
            host=uuid.uuid4().bytes,
            uuid=uuid.uuid4().bytes,
            kind="pv",
            memory_kib=16384,
            xen="",
            vendor="",
            config=self.config,
        )
        return offer.replace(**changes)


async def receive(
    ctx: Context,
    script: Script,
    *,
    paused: bool = False,
    hooks: MigrationHooks | None = None,
) -> RestoreResult:
    """Receive from a peer that follows a script."""
    async with OwnPeer.both() as (peer, control, stream):
        playing = asyncio.create_task(script(peer))
        try:
            job = await ctx.domain_receive(
                control.fileno(),
                control.fileno(),
                stream=stream.fileno(),
                paused=paused,
                hooks=hooks,
                deadlines=DEADLINES,
            )
            result = await job
            await playing
        finally:
            playing.cancel()
            with contextlib.suppress(asyncio.CancelledError, ConnectionError):
                await playing
    return result


async def offered(peer: OwnPeer, offer: Offer) -> None:
    await peer.hear(READY)
    await peer.tell(offer)
