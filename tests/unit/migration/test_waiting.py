"""A wait that a cancel ends, then and before."""

import asyncio

import pytest

from libxlpy import Cancelled
from libxlpy.migration.waiting import Interruptible


async def test_what_is_waited_for_raises_as_if_nobody_stood_between():
    async def fails() -> None:
        raise ValueError("of the work")

    with pytest.raises(ValueError, match="of the work"):
        await Interruptible().wait(fails())


async def test_cancel_ends_the_wait_and_the_work():
    waits, ended = Interruptible(), []

    async def work() -> None:
        try:
            waits.cancel("by hand")
            await asyncio.Event().wait()
        finally:
            ended.append(True)

    with pytest.raises(Cancelled, match="by hand"):
        await waits.wait(work())
    assert ended == [True]


async def test_once_cancelled_nothing_is_waited_for():
    waits, begun = Interruptible(), []

    async def work() -> None:
        begun.append(True)

    waits.cancel("")
    with pytest.raises(Cancelled):
        await waits.wait(work())
    assert begun == []
