"""One operation: refused at once or told once, never before both parts are through."""

import asyncio
import logging
from collections.abc import Awaitable
from typing import Any, cast

import pytest

from libxlpy import Context
from libxlpy.errors import Cancelled, UsageError
from libxlpy.libxl import AsyncopHow
from libxlpy.libxl.ao import Ao

NO_CONTEXT = cast(Context, None)


async def good() -> str:
    return "result"


async def bad() -> str:
    raise Cancelled("as told")


async def begins_good(context: Context) -> Awaitable[Any]:
    return good()


async def begins_bad(context: Context) -> Awaitable[Any]:
    return bad()


async def refuses(context: Context) -> Awaitable[Any]:
    raise UsageError("no such thing")


class Told:
    def __init__(self) -> None:
        self.rcs: list[int] = []
        self.ao = Ao("test", 7, AsyncopHow(for_event=1), self.tell)

    def tell(self, ao: Ao) -> None:
        self.rcs.append(ao.rc)

    async def run(self, begin: Any) -> None:
        await self.ao.run(NO_CONTEXT, begin, lambda result: None)


@pytest.mark.parametrize(("begin", "rc"), [(begins_good, 0), (begins_bad, -22)])
async def test_end_is_told_once_the_initiating_call_is_done(begin: Any, rc: int):
    told = Told()
    await told.run(begin)
    told.ao.complete()
    assert told.ao.started.result() == 0
    assert told.ao.ended.result() == rc
    assert told.rcs == []
    told.ao.release()
    assert told.rcs == [rc]


async def test_initiating_call_that_is_done_tells_nothing_before_the_end():
    told = Told()
    told.ao.release()
    await told.run(begins_good)
    assert told.rcs == []
    told.ao.complete()
    assert told.rcs == [0]
    assert told.ao.outcome == "result"


async def test_refused_is_returned_and_never_told():
    told = Told()
    await told.run(refuses)
    told.ao.complete()
    assert told.ao.started.result() == told.ao.ended.result() == -6
    assert isinstance(told.ao.outcome, UsageError)
    assert told.rcs == []


async def test_failure_is_logged(caplog: pytest.LogCaptureFixture):
    await Told().run(refuses)
    [record] = caplog.records
    assert record.name == "libxlpy.libxl"
    assert record.getMessage() == "test: no such thing"
    assert vars(record)["domid"] == 7


async def test_failure_that_nobody_listens_to_is_not_printed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr(logging.root, "handlers", [])
    await Told().run(refuses)
    assert capsys.readouterr() == ("", "")


async def test_whatever_ends_the_loops_task_is_an_end(caplog: Any):
    told = Told()

    async def begin(context: Context) -> Awaitable[Any]:
        return asyncio.get_running_loop().create_future()

    task = asyncio.create_task(told.run(begin))
    while not told.ao.started.done():
        await asyncio.sleep(0)
    task.cancel()
    await task
    told.ao.complete()
    told.ao.release()
    assert told.rcs == [-22]


@pytest.mark.parametrize(
    "fields",
    [
        {"callback": 5},
        {"for_callback": 5},
        {"callback": print, "for_event": 1},
    ],
)
def test_how_that_means_nothing_is_refused(fields: dict[str, Any]):
    with pytest.raises(UsageError):
        AsyncopHow(**fields)


def test_hows_are_the_same_as_libxl_compares_them():
    one, other = object(), object()
    how = AsyncopHow(print, one)
    assert how.same(AsyncopHow(print, one))
    assert not how.same(AsyncopHow(print, other))
    assert not how.same(AsyncopHow(repr, one))
    assert AsyncopHow(for_event=1).same(AsyncopHow(for_event=1))
    assert not AsyncopHow(for_event=1).same(AsyncopHow(for_event=2))
