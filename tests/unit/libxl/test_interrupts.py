"""Ctrl-C while our loop runs in the main thread: no step of a job is cut by it."""

import signal
import threading
from collections.abc import Callable
from concurrent.futures import Future
from types import FrameType

import pytest

from libxlpy.libxl.interrupts import interrupt_held
from libxlpy.libxl.osevent import Hooked
from tests.support.foreign_loop import ForeignLoop

Run = Callable[[Hooked, ForeignLoop], object]


def by_wait(hooked: Hooked, _foreign: ForeignLoop) -> object:
    never: Future[None] = Future()
    return hooked.wait(never)


def by_occurrence(hooked: Hooked, foreign: ForeignLoop) -> object:
    return foreign.occur(hooked)


class Step:
    """Something that is interrupted as it begins."""

    def __init__(self) -> None:
        self.ended = False

    def __call__(self) -> None:
        signal.raise_signal(signal.SIGINT)
        self.ended = True


@pytest.mark.parametrize("run", [by_wait, by_occurrence])
def test_step_that_is_under_way_goes_to_its_end(
    hooked: Hooked, foreign: ForeignLoop, run: Run
):
    step = Step()
    hooked.submit(step)
    with pytest.raises(KeyboardInterrupt):
        run(hooked, foreign)
    assert step.ended
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_what_was_waited_for_may_still_come(hooked: Hooked):
    future: Future[int] = Future()
    hooked.submit(Step())
    with pytest.raises(KeyboardInterrupt):
        hooked.wait(future)
    hooked.submit(lambda: future.set_result(5))
    assert hooked.wait(future) == 5


def test_callbacks_of_the_program_are_cut_as_all_of_it_is(
    hooked: Hooked, foreign: ForeignLoop
):
    callback = Step()
    hooked.tell(callback)
    with pytest.raises(KeyboardInterrupt):
        foreign.occur(hooked)
    assert not callback.ended


def test_handler_of_the_program_stays():
    came: list[int] = []

    def own(signum: int, _frame: FrameType | None) -> None:
        came.append(signum)

    before = signal.signal(signal.SIGINT, own)
    try:
        with interrupt_held():
            signal.raise_signal(signal.SIGINT)
            assert came == [signal.SIGINT]
            assert signal.getsignal(signal.SIGINT) is own
    finally:
        signal.signal(signal.SIGINT, before)


def test_other_threads_have_nothing_to_hold():
    handlers = []

    def look() -> None:
        with interrupt_held():
            handlers.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    assert handlers == [signal.default_int_handler]
