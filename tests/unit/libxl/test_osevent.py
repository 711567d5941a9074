"""A loop that is turned by another: never blocks, never starves it, misses nothing."""

import asyncio
import math
import os
import select
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import pytest

from libxlpy.libxl.osevent import ROUNDS, Hooked, OSEventHooks, TurningSelector
from tests.support.foreign_loop import ForeignLoop


def readable(foreign: ForeignLoop) -> bool:
    return bool(foreign.poll.poll(0))


def test_turn_ends_where_the_loop_would_block_and_says_until_when():
    selector = TurningSelector()
    loop = selector.loop = asyncio.SelectorEventLoop(selector)
    assert selector.turn() == math.inf
    ran: list[str] = []
    loop.call_soon(lambda: loop.call_soon(ran.append, "both"))
    handle = loop.call_later(1000, ran.append, "never")
    until = selector.turn()
    assert ran == ["both"]
    assert until == pytest.approx(handle.when(), abs=1)
    assert until > time.monotonic()
    loop.close()


def test_loop_that_is_always_ready_is_left_after_some_rounds():
    selector = TurningSelector()
    loop = selector.loop = asyncio.SelectorEventLoop(selector)
    rounds = 0

    def again() -> None:
        nonlocal rounds
        rounds += 1
        loop.call_soon(again)

    again()
    assert selector.turn() <= time.monotonic()
    assert ROUNDS <= rounds <= ROUNDS + 2
    loop.close()


def test_what_a_thread_submits_makes_the_descriptor_readable(
    foreign: ForeignLoop, hooked: Hooked
):
    ran: list[str] = []
    assert not readable(foreign)
    thread = threading.Thread(target=hooked.submit, args=(lambda: ran.append("x"),))
    thread.start()
    thread.join()
    assert readable(foreign)
    assert ran == []
    foreign.occur(hooked)
    assert ran == ["x"]
    assert not readable(foreign)


def test_anything_the_loop_watches_makes_the_one_descriptor_readable(
    foreign: ForeignLoop, hooked: Hooked
):
    reading, writing = os.pipe()
    got: list[bytes] = []
    hooked.loop.add_reader(reading, lambda: got.append(os.read(reading, 10)))
    assert not readable(foreign)
    os.write(writing, b"news")
    assert readable(foreign)
    foreign.occur(hooked)
    assert got == [b"news"]
    assert foreign.calls.count("fd_register") == 1
    hooked.loop.remove_reader(reading)
    os.close(reading)
    os.close(writing)


def test_timeout_is_registered_modified_and_deregistered_with_the_loops_timers(
    foreign: ForeignLoop, hooked: Hooked
):
    later = hooked.loop.call_later(1000, print)
    foreign.occur(hooked)
    sooner = hooked.loop.call_later(500, print)
    foreign.occur(hooked)
    ((when, _),) = foreign.timers.values()
    assert when == pytest.approx(sooner.when(), abs=1)
    sooner.cancel()
    later.cancel()
    foreign.occur(hooked)
    assert foreign.timers == {}
    assert foreign.calls[1:] == [
        "timeout_register",
        "timeout_modify",
        "timeout_deregister",
    ]


def test_timeout_occurs_once_and_a_stale_one_does_nothing(
    foreign: ForeignLoop, hooked: Hooked
):
    ran: list[str] = []
    timer = hooked.loop.call_later(1000, print)
    foreign.occur(hooked)
    ((number, (_, token)),) = foreign.timers.items()
    hooked.loop.call_soon(ran.append, "turned")
    hooked.timeout_occurred(object())
    assert ran == []
    del foreign.timers[number]
    hooked.timeout_occurred(token)
    assert ran == ["turned"]
    ((_, again),) = foreign.timers.values()
    assert again is not token
    hooked.loop.call_soon(ran.append, "once more")
    hooked.timeout_occurred(token)
    assert ran == ["turned"]
    timer.cancel()


def test_descriptor_of_another_does_nothing(foreign: ForeignLoop, hooked: Hooked):
    ran: list[str] = []
    hooked.submit(lambda: ran.append("x"))
    hooked.fd_occurred(hooked, -5)
    hooked.fd_occurred(object(), next(iter(foreign.fds)))
    assert ran == []


def test_callbacks_are_made_only_when_something_occurs(
    foreign: ForeignLoop, hooked: Hooked
):
    made: list[str] = []
    hooked.tell(lambda: made.append("one"))
    done: Future[int] = Future()
    hooked.submit(lambda: done.set_result(5))
    assert hooked.wait(done) == 5
    assert made == []
    assert readable(foreign)
    foreign.occur(hooked)
    assert made == ["one"]


def test_callback_that_ends_the_program_does_not_take_others_with_it(
    foreign: ForeignLoop, hooked: Hooked
):
    made: list[str] = []

    def leave() -> None:
        raise SystemExit

    hooked.tell(leave)
    hooked.tell(lambda: made.append("two"))
    with pytest.raises(SystemExit):
        foreign.occur(hooked)
    assert readable(foreign)
    foreign.occur(hooked)
    assert made == ["two"]


def test_hook_that_raises_comes_out_where_it_was_called(foreign: ForeignLoop):
    def refuse(*arguments: Any) -> None:
        raise MemoryError("no room")

    made = Hooked(foreign.hooks().replace(timeout_register=refuse))
    timer = made.loop.call_later(1000, print)
    with pytest.raises(MemoryError, match="no room"):
        foreign.occur(made)
    timer.cancel()
    made.close()


def test_events_asked_for_are_polls():
    registered: list[int] = []

    def fd_register(fd: int, events: int, for_libxl: object) -> None:
        registered.append(events)

    nothing: Callable[..., None] = lambda *arguments: None  # noqa: E731
    Hooked(OSEventHooks(fd_register, nothing, nothing, nothing, nothing)).close()
    assert registered == [select.POLLIN]
