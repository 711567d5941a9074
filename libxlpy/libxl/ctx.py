"""A libxl ctx: a :class:`~libxlpy.context.Context` with its loop, for any program.

Several ctxs may be in use at once, each by any number of threads; they share nothing.
A ctx is not inherited: a forked child must make its own, and is told so.
"""

import asyncio
import os
import threading
from collections.abc import Coroutine
from concurrent.futures import Future
from functools import partial
from typing import Any, TypeVar

from libxlpy.context import Context
from libxlpy.deadlines import DEFAULT_DEADLINES, Deadlines
from libxlpy.errors import UsageError
from libxlpy.libxl.ao import Ao, AsyncopHow, Begin, Done, logger
from libxlpy.libxl.codes import ERROR_ABORTED, ERROR_NOTFOUND
from libxlpy.libxl.driver import Driver
from libxlpy.libxl.events import (
    LIBXL_EVENT_TYPE_OPERATION_COMPLETE,
    EventQueue,
    LibxlEvent,
    Predicate,
    any_event,
)
from libxlpy.libxl.osevent import Hooked, OSEventHooks
from libxlpy.libxl.own_thread import OwnThread
from libxlpy.operations.flags import OWN
from libxlpy_protocol.fields import brief

T = TypeVar("T")


class LibxlCtx:
    """What ``libxl_ctx_alloc`` gives; for the ``libxl_*`` functions only."""

    def __init__(self, context: Context, driver: Driver) -> None:
        self.driver = driver
        self.events = EventQueue()
        #: Outcome that each thread was told last.
        self.told = threading.local()
        self._context = context
        self._pid = os.getpid()
        self._open = True
        self._aos: list[Ao] = []
        #: Initiating calls that have not returned; guards ``_aos`` and ``_open`` too.
        self._inside = 0
        self._changed = threading.Condition()
        self._tasks: set[asyncio.Task[Any]] = set()

    def check(self) -> None:
        """Refuse to be used any more, or by another process.

        Raises:
            UsageError: It is freed, or another process's.
        """
        if self._pid != os.getpid():
            text = f"libxl ctx belongs to process {self._pid}"
            raise UsageError(f"{text}: after a fork, make a new one")
        if not self._open:
            raise UsageError("libxl ctx is freed")

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Have something awaited in the loop and wait for it."""
        done: Future[T] = Future()

        async def follow() -> None:
            try:
                done.set_result(await work)
            except BaseException as exc:
                done.set_exception(exc)

        self.driver.submit(lambda: self._spawn(follow()))
        return self.driver.wait(done)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = self.driver.loop.create_task(work)
        self._tasks.add(task)  # the loop itself keeps it only weakly
        task.add_done_callback(self._tasks.discard)

    # ----- operations -------------------------------------------------------------

    def initiate(
        self,
        what: str,
        domid: int,
        *,
        how: AsyncopHow | None,
        begin: Begin,
        done: Done = lambda result: None,
    ) -> int:
        """Start an operation; with no ``how``, wait for its end.

        Returns:
            Why it was refused; else 0, or with no ``how`` its own return code.

        Raises:
            UsageError: The ctx can't be used, or ``how`` is none.
        """
        self.check()
        if how is not None and not isinstance(how, AsyncopHow):
            raise UsageError(f"ao_how must be None or an AsyncopHow: {brief(how)}")
        ao = Ao(what, domid, how, self._tell)
        with self._changed:
            self.check()  # nobody frees it from here on
            self._aos.append(ao)
            self._inside += 1
        try:
            return self._follow(ao, self._live(ao, begin, done))
        finally:
            with self._changed:
                self._inside -= 1
                self._changed.notify_all()

    def _follow(self, ao: Ao, life: Coroutine[Any, Any, None]) -> int:
        self.driver.submit(lambda: self._spawn(life))
        try:
            rc = self.driver.wait(ao.ended if ao.how is None else ao.started)
        except BaseException:  # Ctrl-C, say: nobody would know of it any more
            self.driver.submit(ao.disown)
            self.driver.wait(ao.ended)
            raise
        if ao.how is None or rc:
            self.told.outcome = ao.outcome
        else:
            ao.release()
        return rc

    async def _live(self, ao: Ao, begin: Begin, done: Done) -> None:
        await ao.run(self._context, begin, done)
        with self._changed:
            self._aos.remove(ao)
        ao.complete()

    def abort(self, how: AsyncopHow | None) -> int:
        """Abort an operation; see :func:`libxl_ao_abort`."""
        with self._changed:
            ao = next((each for each in self._aos if _meant(each, how)), None)
            if ao is None:
                return ERROR_NOTFOUND
            if ao.abort_requested:
                return ERROR_ABORTED
            ao.abort_requested = True
        self.driver.submit(ao.abort)
        return 0

    # ----- completion -------------------------------------------------------------

    def _tell(self, ao: Ao) -> None:
        assert ao.how is not None  # a synchronous one is never released
        if ao.how.callback is not None:
            self.driver.tell(partial(self._call_back, ao))
            return
        kind = LIBXL_EVENT_TYPE_OPERATION_COMPLETE
        self.events.put(LibxlEvent(kind, ao.domid, ao.how.for_event, ao.rc, ao.outcome))

    def _call_back(self, ao: Ao) -> None:
        assert ao.how is not None
        assert ao.how.callback is not None
        self.told.outcome = ao.outcome
        try:
            ao.how.callback(self, ao.rc, ao.how.for_callback)
        except Exception:  # the boundary to the toolstack's own code
            logger.exception("callback of %s raised", ao.what)

    # ----- its end ----------------------------------------------------------------

    def free(self) -> None:
        """End it; see :func:`libxl_ctx_free`."""
        if not self._open:
            return
        self.check()
        self.driver.check_free()
        if not self._shut():
            return  # another thread was quicker
        self.run(self._end())
        with self._changed:
            self._changed.wait_for(lambda: not self._inside)
        self.events.close()
        self.driver.close()

    def _shut(self) -> bool:
        with self._changed:
            was, self._open = self._open, False
        return was

    async def _end(self) -> None:
        with self._changed:
            left = list(self._aos)
        for ao in left:
            ao.abort()
        for ao in left:
            await asyncio.wrap_future(ao.ended)
        await self._context.__aexit__(None, None, None)


def _meant(ao: Ao, how: AsyncopHow | None) -> bool:
    if how is None or ao.how is None:
        return how is ao.how
    return ao.how.same(how)


# ----- public ---------------------------------------------------------------------


def libxl_ctx_alloc(
    backend: str = "auto",
    host: str | os.PathLike[str] | None = None,
    deadlines: Deadlines = DEFAULT_DEADLINES,
    helper: str = OWN,
    *,
    hooks: OSEventHooks | None = None,
) -> LibxlCtx:
    """Make a ctx.

    Args:
        backend: As of :class:`libxlpy.Context`, as are the next three.
        host: See ``backend``.
        deadlines: See ``backend``.
        helper: See ``backend``.
        hooks: To live in the program's own event loop; None: a thread of its own.

    Raises:
        BackendError: There is no backend that can be used.
        UsageError: Hooks inside asyncio.
    """
    driver = OwnThread() if hooks is None else Hooked(hooks)
    context = Context(backend, host, deadlines, helper)
    ctx = LibxlCtx(context, driver)
    try:
        ctx.run(context.__aenter__())
    except BaseException:
        driver.close()
        raise
    return ctx


def libxl_ctx_free(ctx: LibxlCtx) -> None:
    """Abort what is under way, wait for it, bounded, and free everything; idempotent.

    Callbacks still to be made are made before it returns, events are dropped, and calls
    that wait in other threads return.

    Raises:
        UsageError: Another process's ctx; or one with hooks, in another thread.
    """
    ctx.free()


def libxl_ao_abort(ctx: LibxlCtx, how: AsyncopHow | None) -> int:
    """Abort an operation; it then completes as always, or as if nothing was.

    Args:
        ctx: From ``libxl_ctx_alloc``.
        how: As given to the initiating call; None: the first synchronous one.

    Returns:
        0 abort requested; ``ERROR_NOTFOUND`` no such operation is under way;
        ``ERROR_ABORTED`` it was requested before.

    Raises:
        UsageError: The ctx is freed or another process's.
    """
    ctx.check()
    return ctx.abort(how)


def libxl_outcome(ctx: LibxlCtx) -> Any:
    """Give result or error behind the return code that this thread was told last.

    In a callback it is that of its operation; libxl has no such thing, only its log.
    """
    return getattr(ctx.told, "outcome", None)


# ----- public: events --------------------------------------------------------------


def libxl_event_check(
    ctx: LibxlCtx, predicate: Predicate = any_event
) -> LibxlEvent | None:
    """Give the oldest event that waits; None if there is none. Never waits.

    Raises:
        UsageError: The ctx is freed or another process's.
    """
    ctx.check()
    return ctx.events.take(predicate)


def libxl_event_wait(ctx: LibxlCtx, predicate: Predicate = any_event) -> LibxlEvent:
    """Wait for an event; several threads may, each event goes to one of them.

    Args:
        ctx: From ``libxl_ctx_alloc``.
        predicate: Which events to take; called in any thread, must only look.

    Raises:
        UsageError: The ctx is, or was meanwhile, freed, or is another process's.
    """
    ctx.check()
    future = ctx.events.expect(predicate)
    try:
        return ctx.driver.wait(future)
    except BaseException:  # Ctrl-C, say: the event is not lost
        ctx.events.give_up(future)
        raise


def libxl_event_free(ctx: LibxlCtx, event: LibxlEvent) -> None:
    """Let go of an event's outcome, which may be large; idempotent.

    Raises:
        UsageError: The ctx is freed or another process's.
    """
    ctx.check()
    event.outcome = None


# ----- public: what a foreign loop saw ---------------------------------------------


def libxl_osevent_occurred_fd(
    ctx: LibxlCtx, for_libxl: object, fd: int, events: int, revents: int
) -> None:
    """Take it that a registered descriptor is ready; callbacks are made in here.

    Args:
        ctx: Made with hooks.
        for_libxl: As given to ``fd_register``.
        fd: The descriptor.
        events: What was asked for.
        revents: What is ready.

    Raises:
        UsageError: Wrong thread, or the ctx has no hooks.
    """
    hooked = _hooked(ctx)
    if events & revents:
        hooked.fd_occurred(for_libxl, fd)


def libxl_osevent_occurred_timeout(ctx: LibxlCtx, for_libxl: object) -> None:
    """Take it that a registered timeout has passed; callbacks are made in here.

    Args:
        ctx: Made with hooks.
        for_libxl: As given to ``timeout_register``.

    Raises:
        UsageError: Wrong thread, or the ctx has no hooks.
    """
    _hooked(ctx).timeout_occurred(for_libxl)


def _hooked(ctx: LibxlCtx) -> Hooked:
    ctx.check()
    if not isinstance(ctx.driver, Hooked):
        raise UsageError("this ctx has a thread of its own: it was made without hooks")
    return ctx.driver
