"""What all work of a context stands on: backend, deadlines, a helper for hypercalls.

The helper is started when one is needed and kept for a moment. A save looks at the
domain before and after, and often a resume follows while the guest waits: starting a
helper for each would be most of the guest's downtime. So it is kept while a job is
under way, too. One that has failed anybody in any way is not given to others.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from libxlpy.aio import ValueT, aside, finish
from libxlpy.backend import Backend
from libxlpy.deadlines import Deadlines
from libxlpy.errors import BackendError, UsageError, last_line
from libxlpy.forked import Owned
from libxlpy.process.escalation import Step
from libxlpy.process.helper import helper_argv, start_process
from libxlpy.process.link import HelperLink
from libxlpy.process.pump import Observer
from libxlpy_protocol.enums import Mode
from libxlpy_protocol.messages import Hello, Start
from libxlpy_protocol.value import Value

#: Seconds an idle helper is kept after the last job or use.
LINGER = 5.0
#: Seconds for files that are small, and local unless somebody put them elsewhere.
LOOK_SECONDS = 10.0
#: Whether dom0 shrinks for other domains; as in ``xl.conf``.
AUTOBALLOON = ("on", "off", "auto")


class Environment(Value):
    """Backend, deadlines, the helpers for hypercalls, hooks for tests."""

    where: Backend
    deadlines: Deadlines
    helpers: "HypercallHelpers"
    #: Testing hook, see :data:`libxlpy.process.pump.Observer`.
    observer: Observer | None = None
    #: Gives the helper's argv; tests put a scripted helper here.
    argv: Callable[[Backend], list[str]] = helper_argv
    #: dom0 gives of its memory for a domain that needs it; "auto": as Xen was booted.
    autoballoon: str = "off"

    def __post_init__(self) -> None:
        """Refuse what says nothing.

        Raises:
            UsageError: It does not.
        """
        if self.autoballoon not in AUTOBALLOON:
            text = f"autoballoon is {self.autoballoon!r}"
            raise UsageError(f"{text}: it is one of {', '.join(AUTOBALLOON)}")

    @property
    def backend(self) -> Backend:
        """The backend, by which all that is outside is reached.

        Raises:
            UsageError: We are a child that was forked, and the context our parent's.
        """
        self.helpers.check_ours("this context")
        return self.where

    @asynccontextmanager
    async def hypercalls(self) -> AsyncIterator[HelperLink]:
        """Give a helper that makes hypercalls; several may use it at a time.

        Raises:
            BackendError: It did not start; its own words are in the message.
            UsageError: The context was left.
        """
        async with self.helpers.use(self) as link:
            yield link


class _Kept:
    """A helper with those who use it."""

    def __init__(self, link: HelperLink) -> None:
        self.link = link
        self.users = 0
        self.leaving: asyncio.Task[None] | None = None
        self.gone = asyncio.Event()


class HypercallHelpers(Owned):
    """The helpers of one context that make hypercalls; at most one is idle."""

    def __init__(self) -> None:
        super().__init__()
        self._kept: _Kept | None = None
        self._starting = asyncio.Lock()
        self._idle: asyncio.TimerHandle | None = None
        #: Jobs under way.
        self._held = 0
        #: Helpers that have not left yet, the kept one included.
        self._alive: list[_Kept] = []
        self._closed = False

    def disown(self) -> None:
        """Have none: they are the parent's."""
        self._kept = None
        self._alive.clear()

    @asynccontextmanager
    async def use(self, env: "Environment") -> AsyncIterator[HelperLink]:
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

    async def _take(self, env: "Environment") -> _Kept:
        self.check_ours("this context")
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


# ----- one helper -----------------------------------------------------------------


async def start_ops_helper(env: "Environment") -> HelperLink:
    """Start a helper that only makes hypercalls for us; end it with :func:`dismiss`.

    Raises:
        BackendError: It did not start; its own words are in the message.
    """
    try:
        process = await start_process(env.argv(env.backend), (), env.deadlines.spawn)
    except TimeoutError as exc:
        seconds = env.deadlines.spawn
        raise BackendError(f"helper did not start in {seconds:g} s") from exc
    link = HelperLink(process, env.deadlines, observer=env.observer)
    try:
        link.hello()
        await greet(link, env.deadlines)
    except BaseException:
        await finish(asyncio.create_task(dismiss(link)))
        raise
    link.send(Start(Mode.OPS))
    return link


async def greet(link: HelperLink, deadlines: Deadlines) -> Hello:
    """Wait for a helper's hello.

    Raises:
        BackendError: It ended instead, said something else, or said nothing in time.
    """
    both: set[asyncio.Future[Any]] = {link.greeted, link.ended}
    await asyncio.wait(
        both, timeout=deadlines.hello, return_when=asyncio.FIRST_COMPLETED
    )
    if link.greeted.done():
        return link.greeted.result()
    if not link.ended.done():
        raise BackendError(f"helper said nothing for {deadlines.hello:g} s")
    if (error := link.ended.result()) is not None:
        raise BackendError(f"helper does not fit: {error}") from error
    link.escalation.demand(Step.LEAVE)
    status = await link.escalation.run()
    words = last_line(link.process.stderr.text())
    raise BackendError(words or f"helper did not start: {status}")


async def dismiss(link: HelperLink) -> None:
    """Make an ops helper leave, by EOF first."""
    link.pump.hang_up()
    link.escalation.demand(Step.LEAVE)
    await link.escalation.run()
    link.close()


# ----- small things ---------------------------------------------------------------


async def found(look: Callable[[], ValueT]) -> ValueT:
    """Look for something in files, beside the loop.

    Raises:
        BackendError: They don't answer.
    """
    try:
        return await aside(look, LOOK_SECONDS)
    except TimeoutError as exc:
        text = f"this machine's files do not answer in {LOOK_SECONDS:g} s"
        raise BackendError(text) from exc
