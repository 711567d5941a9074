"""Guests that saves have left suspended, until their caller has gone on with them."""

import asyncio
import logging
import time

from libxlpy.domain import requests
from libxlpy.domain.repair import ask_guest
from libxlpy.domain.resume import domain_resume
from libxlpy.errors import QmpError, UsageError
from libxlpy.jobs.guard import Guard
from libxlpy.jobs.meter import Meter
from libxlpy.jobs.watchers import heard
from libxlpy.journal import Folder, Life
from libxlpy.process.environment import Environment
from libxlpy.recovery.claim import claim, forget
from libxlpy.results.report import GuestState
from libxlpy_protocol.errors import LibxlpyError
from libxlpy_protocol.value import Value

logger = logging.getLogger("libxlpy")

RUNS_AGAIN = "runs again since it was saved: it was not destroyed"


class Handed(Value):
    """A guest that a save has left suspended."""

    job: str
    uuid: str
    #: Measures its downtime until it is resumed.
    meter: Meter
    #: Keeps those away that look after guests of dead processes.
    life: Life
    #: Lets it run again should we die; None if nobody does.
    guard: Guard | None = None

    async def settled(self) -> None:
        """Take that the guest is resumed, gone, or to stay as it is."""
        if self.guard is not None:
            await self.guard.release()
        self.life.close()


class HandedOver:
    """Guests that saves of one context left suspended, for its caller to go on with."""

    def __init__(self) -> None:
        self._guests: dict[int, Handed] = {}
        #: Of guests that were saved once more.
        self._leaving: set[asyncio.Task[None]] = set()

    def add(self, domid: int, handed: Handed) -> None:
        """Take a guest."""
        before = self._guests.pop(domid, None)
        if before is not None:
            leaving = asyncio.create_task(before.settled())
            self._leaving.add(leaving)
            leaving.add_done_callback(self._leaving.discard)
        self._guests[domid] = handed

    async def destroyed(self, domid: int) -> None:
        """Take that a guest was destroyed; no error if it is not known."""
        handed = self._guests.pop(domid, None)
        if handed is not None:
            await handed.settled()

    async def destroy(self, env: Environment, domid: int, uuid: str) -> None:
        """End a domain, but not one that was saved and runs again.

        Args:
            env: Backend, deadlines, the helper for hypercalls.
            domid: Of any domain.
            uuid: Of the one that is meant; "" for whichever has the domid.

        Raises:
            DomainBusy: Somebody works on it.
            UsageError: A save of this context had suspended it, and it runs again: what
                it has done since is not saved. Said once.
            LibxlpyError: As of :func:`libxlpy.domain.requests.destroy`.
        """
        async with claim(env, domid, "a destroy"):
            runs_again = await self._runs_again(env, domid)
            if not runs_again:
                await requests.destroy(env, domid, uuid)
        await self.destroyed(domid)
        if runs_again:
            raise UsageError(f"domain {domid} {RUNS_AGAIN}")

    async def _runs_again(self, env: Environment, domid: int) -> bool:
        """Tell whether a guest runs that we had suspended; its guard does no more."""
        handed = await self._held_still(domid)
        if handed is None:
            return False
        settled = await ask_guest(env, domid, handed.uuid)
        return settled.guest in (GuestState.RUNNING, GuestState.PAUSED)

    async def _held_still(self, domid: int) -> Handed | None:
        """Have the guard of a guest leave what is done to it to us, while we live."""
        handed = self._guests.get(domid)
        if handed is not None and handed.guard is not None:
            await handed.guard.hold_still()
        return handed

    async def resume(
        self, env: Environment, domid: int, uuid: str, *, cancelled: bool
    ) -> float | None:
        """Let a guest run again; if we can't, the helper that has saved it does.

        Args:
            env: Backend, deadlines, the helper for hypercalls.
            domid: Of any domain.
            uuid: Of the one that is meant; "" for whichever has the domid.
            cancelled: Its suspend call returns "cancelled"; only that the helper does.

        Returns:
            Milliseconds it was down; None if no save of this context had suspended it.

        Raises:
            DomainBusy: Somebody works on it.
            LibxlpyError: As of :func:`libxlpy.domain.resume.domain_resume`.
        """
        try:
            async with claim(env, domid, "a resume"):
                await self._held_still(domid)
                uuid = await domain_resume(env, domid, uuid, suspend_cancel=cancelled)
        except (UsageError, QmpError):
            raise  # nobody is to resume it, or can
        except LibxlpyError as exc:
            if not cancelled:
                raise
            uuid = await self._resumed_by_guard(env, domid, uuid)
            if not uuid:
                raise
            text = "domain %d was resumed by the helper that had saved it, as %s"
            logger.warning(text, domid, exc)
        return await self.resumed(domid, uuid)

    async def resumed(self, domid: int, uuid: str) -> float | None:
        """Take that a guest runs again.

        Returns:
            Milliseconds it was down; None if no save of this context had suspended it.
        """
        handed = self._guests.pop(domid, None)
        if handed is None:
            return None
        if handed.uuid == uuid:
            handed.meter.resumed(time.monotonic())
        await handed.settled()
        return handed.meter.downtime if handed.uuid == uuid else None

    async def _resumed_by_guard(self, env: Environment, domid: int, uuid: str) -> str:
        """Have a guest that we can't resume looked after by its guard.

        Returns:
            Its uuid if it runs now, else "".
        """
        handed = self._guests.get(domid)
        if handed is None or handed.guard is None or uuid not in ("", handed.uuid):
            return ""
        await handed.guard.act()
        settled = await ask_guest(env, domid, handed.uuid)
        if settled.guest is not GuestState.RUNNING:
            return ""
        forget(Folder(env.backend.jobs_dir), domid, handed.job)
        return handed.uuid

    async def close(self, env: Environment, *, failed: bool) -> None:
        """Forget them all: they are left suspended on purpose, unless ``failed``."""
        if failed:
            await self._let_run(env)
        await self._tell(env)
        folder = Folder(env.backend.jobs_dir)
        for domid, handed in list(self._guests.items()):
            forget(folder, domid, handed.job)
            await handed.settled()
        self._guests.clear()
        if self._leaving:
            await asyncio.wait(self._leaving)

    async def _let_run(self, env: Environment) -> None:
        """Let guests run that were saved into a file; what comes next, does not come.

        One that went to a pipe stays suspended: it may be elsewhere by now.
        """
        for domid, handed in list(self._guests.items()):
            if handed.guard is None:
                continue
            try:
                await self.resume(env, domid, handed.uuid, cancelled=True)
            except UsageError:
                continue  # it runs, is gone, or somebody is at it
            except LibxlpyError as exc:
                logger.warning("domain %d is suspended still: %s", domid, exc)
                await self.destroyed(domid)  # for who recovers
            else:
                logger.warning(
                    "domain %d, which was saved, runs again: its context was left by "
                    "an error",
                    domid,
                )

    async def _tell(self, env: Environment) -> None:
        """Log which guests are left suspended: nobody will come back to them."""
        if not heard(logger, logging.WARNING):
            return
        for domid, handed in self._guests.items():
            settled = await ask_guest(env, domid, handed.uuid)
            if settled.guest is GuestState.SUSPENDED:
                text = "domain %d, which was saved, is left suspended, as its context "
                text += "was left: resume it (domain_resume), or destroy it"
                logger.warning(text, domid)
