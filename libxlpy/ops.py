"""The context's helper for hypercalls: started when one is needed, kept for a moment.

A save looks at the domain before and after, and often a resume follows while the guest
waits: starting a helper for each would be most of the guest's downtime. So it is kept
while a job is under way, too. One that has failed anybody in any way is not given to
others.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from libxlpy.errors import UsageError
from libxlpy.ops_link import dismiss, start_ops_helper
from libxlpy.process.environment import Environment
from libxlpy.process.link import HelperLink

#: Seconds an idle helper is kept after the last job or use.
LINGER = 5.0


@asynccontextmanager
async def ops_helper(env: Environment) -> AsyncIterator[HelperLink]:
    """Give a helper that makes hypercalls for us.

    Raises:
        BackendError: It did not start; its own words are in the message.
    """
    async with env.ops.use(env) as link:
        yield link


@dataclass(slots=True)
class _Kept:
    """A helper with those who use it."""

    link: HelperLink
    users: int = 0
    leaving: asyncio.Task[None] | None = None
    gone: asyncio.Event = field(default_factory=asyncio.Event)


class Ops:
    """At most one idle ops helper of one context."""

    def __init__(self) -> None:
        self._kept: _Kept | None = None
        self._starting = asyncio.Lock()
        self._idle: asyncio.TimerHandle | None = None
        #: Jobs under way.
        self._held = 0
        #: Helpers that have not left yet, the kept one included.
        self._alive: list[_Kept] = []
        self._closed = False

    @asynccontextmanager
    async def use(self, env: Environment) -> AsyncIterator[HelperLink]:
        """Give the helper; several may use it at a time.

        Raises:
            BackendError: It did not start; its own words are in the message.
            UsageError: The context was left.
        """
        kept = await self._take(env)
        try:
            yield kept.link
        except UsageError:
            raise  # what was asked was wrong, not the helper
        except BaseException:
            self._forget(kept)
            raise
        finally:
            self._give_back(kept)

    def hold(self) -> None:
        """Keep the helper, idle or not, until :meth:`let_go` was called as often."""
        self._held += 1
        self._keep()

    def let_go(self) -> None:
        """Have a job's end said: the helper is kept for a moment only."""
        self._held -= 1
        if self._kept is not None and not self._kept.users:
            self._linger(self._kept)

    def _keep(self) -> None:
        if self._idle is not None:
            self._idle.cancel()
            self._idle = None

    def _linger(self, kept: _Kept) -> None:
        self._keep()
        if not self._held:
            loop = asyncio.get_running_loop()
            self._idle = loop.call_later(LINGER, self._forget, kept)

    async def _take(self, env: Environment) -> _Kept:
        async with self._starting:
            self._keep()
            if self._closed:
                raise UsageError("context was left: enter a new one")
            kept = self._kept
            if kept is not None and not kept.link.works:
                self._forget(kept)
            if self._kept is None:
                self._kept = _Kept(await start_ops_helper(env))
                self._alive.append(self._kept)
            self._kept.users += 1
            return self._kept

    def _give_back(self, kept: _Kept) -> None:
        kept.users -= 1
        if kept.users:
            return
        if kept is not self._kept:
            self._dismiss(kept)
        elif self._closed:
            self._forget(kept)
        else:
            self._linger(kept)

    def _forget(self, kept: _Kept) -> None:
        """Give a helper to nobody any more; it leaves when its last user has."""
        if kept is self._kept:
            self._kept = None
            if not kept.users:
                self._dismiss(kept)

    def _dismiss(self, kept: _Kept) -> None:
        kept.leaving = asyncio.create_task(dismiss(kept.link))
        kept.leaving.add_done_callback(lambda _: self._gone(kept))

    def _gone(self, kept: _Kept) -> None:
        self._alive.remove(kept)
        kept.gone.set()

    async def close(self) -> None:
        """Have all helpers leave and wait until they, and those who use them, have."""
        self._closed = True
        async with self._starting:
            self._keep()
            if self._kept is not None:
                self._forget(self._kept)
        for kept in list(self._alive):
            await kept.gone.wait()
