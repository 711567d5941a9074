"""A coroutine whose first step is done at once, and that goes on as any other."""

import asyncio
import contextvars
import sys

import pytest

from libxlpy.aio import Begun, begin

VARIABLE: contextvars.ContextVar[str] = contextvars.ContextVar("VARIABLE", default="")


async def at_once() -> int:
    return 7


async def later() -> int:
    for _ in range(3):
        await asyncio.sleep(0)
    return 7


async def fails() -> int:
    raise ZeroDivisionError


async def fails_later() -> int:
    await asyncio.sleep(0)
    raise ZeroDivisionError


async def test_what_waits_for_nothing_has_ended():
    begun = Begun(at_once())
    assert not begun.waits
    assert await begun == 7
    assert await begun == 7


async def test_what_waits_goes_on_when_it_is_awaited():
    begun = Begun(later())
    assert begun.waits
    assert await begun == 7


async def test_first_step_may_fail():
    with pytest.raises(ZeroDivisionError):
        Begun(fails())


async def test_later_step_may_fail():
    begun = Begun(fails_later())
    with pytest.raises(ZeroDivisionError):
        await begun


async def test_what_it_waits_for_may_fail():
    future = asyncio.get_running_loop().create_future()

    async def waits() -> int:
        try:
            await future
        except ZeroDivisionError:
            await asyncio.sleep(0)
            return 7
        return 0

    begun = Begun(waits())
    future.set_exception(ZeroDivisionError())
    assert await begun == 7


@pytest.mark.parametrize("stubborn", [False, True])
async def test_cancellation_reaches_it(stubborn: bool):
    seen: list[str] = []
    forever = asyncio.Event()

    async def waits() -> int:
        try:
            await forever.wait()
        except asyncio.CancelledError:
            seen.append("cancelled")
            if not stubborn:
                raise
        return 7

    async def work() -> int:
        return await Begun(waits())

    task = asyncio.create_task(work())
    await asyncio.sleep(0)
    task.cancel()
    (result,) = await asyncio.gather(task, return_exceptions=True)
    assert seen == ["cancelled"]
    assert result == 7 if stubborn else isinstance(result, asyncio.CancelledError)


async def test_time_that_it_gives_itself_is_kept_across_the_first_step():
    async def bounded() -> str:
        try:
            async with asyncio.timeout(0.01):
                await asyncio.Event().wait()
        except TimeoutError:
            return "bounded"
        return ""

    begun = Begun(bounded())
    assert begun.waits
    async with asyncio.timeout(20):
        assert await begun == "bounded"


async def test_task_and_context_are_the_same_in_each_step():
    seen: list[object] = []

    async def looks() -> None:
        VARIABLE.set("ours")
        seen.append(asyncio.current_task())
        await asyncio.sleep(0)
        seen.append(asyncio.current_task())
        assert VARIABLE.get() == "ours"

    async def work() -> None:
        await Begun(looks())

    task = asyncio.create_task(work())
    await task
    assert seen == [task, task]
    assert not VARIABLE.get()


async def test_one_that_is_dropped_is_closed():
    closed: list[str] = []

    async def waits() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            closed.append("closed")

    steps = Begun(waits()).__await__()
    next(steps)
    steps.close()
    assert closed == ["closed"]


# ----- tasks ------------------------------------------------------------------------


async def test_task_begins_before_the_loop_goes_on_where_python_can():
    begun: list[object] = []

    async def work() -> None:
        begun.append(asyncio.current_task())

    task = begin(work(), "a name")
    assert task.done() is bool(begun) is (sys.version_info >= (3, 12))
    await task
    assert begun == [task]
    assert task.get_name() == "a name"


async def test_loops_own_factory_of_tasks_is_used():
    made: list[str] = []

    def factory(loop: asyncio.AbstractEventLoop, coroutine, **options):  # type: ignore[no-untyped-def]
        made.append("task")
        return asyncio.Task(coroutine, loop=loop, **options)

    loop = asyncio.get_running_loop()
    loop.set_task_factory(factory)
    try:
        await begin(later_nothing(), "a name")
    finally:
        loop.set_task_factory(None)
    assert made == ["task"]


async def later_nothing() -> None:
    await asyncio.sleep(0)
