"""What a migration would be: whether the target takes the domain, and what to expect.

The guest is looked at for a second, and of that it is worked out how many pages it
writes in any time. Nothing is done at the target, and nothing else to the guest.
"""

import math
from typing import Self

from libxlpy.domain import requests
from libxlpy.errors import UsageError
from libxlpy.jobs.writes import GuestWrites, look_at_writes
from libxlpy.migration.channel import Channel, Ends
from libxlpy.migration.greeting import ask
from libxlpy.operations.flags import check_can_suspend
from libxlpy.policies import Xen
from libxlpy.process.environment import Environment
from libxlpy.recovery.claim import claim
from libxlpy_protocol.value import Value
from libxlpy_protocol.xen import PAGE_SIZE


class MigrationForecast(Value, kw_only=True):
    """A migration as it would be, live, and suspended by libxenguest's own rule.

    What the network does is not known: ``rate`` is what it was assumed to do.
    """

    #: The target takes the domain; False: it is `xl`, and can't be asked.
    is_accepted: bool
    #: Of memory.
    pages: int
    #: Pages a second that the guest writes, each counted once.
    writes: float
    #: Bytes a second.
    rate: float
    #: While it runs, the last one included.
    passes: int
    #: Pages, in all passes and while it is suspended.
    sent: int
    seconds: float
    #: Milliseconds that the guest is down for the last pages; those that its devices,
    #: the target and the way there take come on top.
    downtime: float
    #: It writes slower than it is sent: passes get shorter.
    converges: bool

    @classmethod
    def of(
        cls, pages: int, writes: GuestWrites, rate: float, *, is_accepted: bool
    ) -> Self:
        """Work it out.

        Args:
            pages: Of memory.
            writes: Of the guest.
            rate: Bytes a second.
            is_accepted: See :attr:`is_accepted`.
        """
        dirty, rule = _Dirty.of(pages, writes), Xen()
        speed = rate / PAGE_SIZE
        left, passes, sent = float(pages), 0, 0.0
        while True:
            passes, sent, left = passes + 1, sent + left, dirty.after(left / speed)
            if left < rule.min_remaining or passes >= rule.max_iters:
                break
        # Libxenguest sends these, too, before it suspends the guest.
        sent, left = sent + left, dirty.after(left / speed)
        return cls(
            is_accepted=is_accepted,
            pages=pages,
            writes=writes.pages / writes.seconds,
            rate=rate,
            passes=passes + 1,
            sent=round(sent + left),
            seconds=(sent + left) / speed,
            downtime=left / speed * 1000,
            converges=dirty.first < speed,
        )


class _Dirty(Value):
    """Pages dirty after a time: a guest that writes some again finds ever fewer new.

    ``most * (1 - exp(-seconds / settling))``, or a straight line up to ``most``.
    """

    most: float
    #: Pages a second at first.
    first: float
    #: None: a line.
    settling: float | None

    @classmethod
    def of(cls, pages: int, writes: GuestWrites) -> Self:
        """Put the curve through both halves."""
        rate = writes.pages / writes.seconds
        # Of what the first half found, the second found so much that was new.
        new = (writes.pages - writes.half) / writes.half if writes.half else 1.0
        if new >= 1:
            return cls(pages, rate, None)
        settling = writes.half_seconds / -math.log(max(new, 1e-6))
        most = writes.half / (1 - max(new, 1e-6))
        return cls(min(most, pages), most / settling, settling)

    def after(self, seconds: float) -> float:
        if self.settling is None:
            return min(self.first * seconds, self.most)
        return self.most * -math.expm1(-seconds / self.settling)


async def foresee(
    env: Environment, domid: int, ends: Ends, rate: float, config: bytes | None
) -> MigrationForecast:
    """Ask a receiver whether it would take a domain, and see what is to be expected.

    Args:
        env: Backend, deadlines.
        domid: Of the domain.
        ends: What leads to the receiver, which ends then; see :class:`.Channel`.
        rate: Bytes a second that the network is taken to do.
        config: To be used there; None for the domain's own.

    Raises:
        UsageError: ``rate`` is none, or the domain can't be copied while it runs, is in
            use, or left open by a migration.
        MigrationRefused: The receiver would not take it.
        PeerFailed: It is not there, or says something else.
        LibxlpyError: The guest can't be looked at: see :func:`.look_at_writes`.
    """
    channel = Channel(ends[0], ends[1], *ends[2:])
    if not 0 < rate < math.inf:
        raise UsageError("a rate must be a positive number of bytes a second")
    info = await requests.look(env, domid)
    check_can_suspend(info)
    await requests.check_can_log(env, info)
    if config is None:
        config = await requests.retrieve_config(env, domid)
    # One that is left open, or in use, could not begin.
    async with claim(env, domid, "a look"):
        is_accepted = await ask(env, channel, info, config)
    writes = await look_at_writes(env, domid, info.uuid)
    pages = info.memory_kib * 1024 // PAGE_SIZE
    return MigrationForecast.of(pages, writes, rate, is_accepted=is_accepted)
