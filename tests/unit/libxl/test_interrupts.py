"""Ctrl-C while our loop runs in the main thread: no step of a job is cut by it."""

import signal
import threading
from collections.abc import Callable
from concurrent.futures import Future
from types import FrameType

import pytest

from libxlpy.libxl.interrupts import interrupt_held
from libxlpy.libxl.osevent import Hooked
from tests.integration.libxl.foreign import ForeignLoop

Run = Callable[[Hooked, ForeignLoop], object]


def by_wait(hooked: Hooked, _foreign: ForeignLoop) -> object:
    never: Future[None] = Future()
    return hooked.wait(never)


def by_occurrence(hooked: Hooked, foreign: ForeignLoop) -> object:
    (fd, (_, for_libxl)) = next(iter(foreign.fds.items()))
    return hooked.fd_occurred(for_libxl, fd)


@pytest.mark.parametrize("run", [by_wait, by_occurrence])
def test_step_that_is_under_way_goes_to_its_end(run: Run):
    foreign = ForeignLoop()
    hooked = Hooked(foreign.hooks())
    steps: list[str] = []

    def step() -> None:
        signal.raise_signal(signal.SIGINT)
        steps.append("ended")

    hooked.submit(step)
    with pytest.raises(KeyboardInterrupt):
        run(hooked, foreign)
    assert steps == ["ended"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    hooked.close()


def test_what_was_waited_for_may_still_come():
    hooked = Hooked(ForeignLoop().hooks())
    future: Future[int] = Future()
    hooked.submit(lambda: signal.raise_signal(signal.SIGINT))
    with pytest.raises(KeyboardInterrupt):
        hooked.wait(future)
    hooked.submit(lambda: future.set_result(5))
    assert hooked.wait(future) == 5
    hooked.close()


def test_callbacks_of_the_program_are_cut_as_all_of_it_is():
    foreign = ForeignLoop()
    hooked = Hooked(foreign.hooks())
    steps: list[str] = []

    def callback() -> None:
        signal.raise_signal(signal.SIGINT)
        steps.append("ended")

    hooked.tell(callback)
    with pytest.raises(KeyboardInterrupt):
        by_occurrence(hooked, foreign)
    assert steps == []
    hooked.close()


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
