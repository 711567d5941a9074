"""Aborting in every mode; completion stays exactly one, whatever races."""

import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from libxlpy import GuestState
from libxlpy.libxl import (
    ERROR_ABORTED,
    ERROR_NOTFOUND,
    AsyncopHow,
    libxl_ao_abort,
    libxl_ctx_free,
    libxl_domain_pause,
    libxl_domain_resume,
    libxl_domain_suspend,
    libxl_domain_unpause,
    libxl_event_check,
    libxl_outcome,
)
from tests.integration.libxl.conftest import FullPipe, Program
from tests.support.foreign_loop import ForeignLoop
from tests.support.guest import Guest

ROUNDS = 12
InThread = Callable[..., threading.Thread]


def test_nothing_under_way_is_not_found(program: Program):
    for how in (None, program.how(), AsyncopHow(for_event=3)):
        assert libxl_ao_abort(program.ctx, how) == ERROR_NOTFOUND


def test_aborted_callback_mode(program: Program, guest: Guest, pipe: FullPipe):
    ctx, mark = program.ctx, object()
    how = program.how(mark)
    assert libxl_domain_suspend(ctx, guest.domid, pipe.writing, 2, how) == 0
    assert libxl_ao_abort(ctx, program.how(object())) == ERROR_NOTFOUND
    assert libxl_ao_abort(ctx, None) == ERROR_NOTFOUND
    assert libxl_ao_abort(ctx, program.how(mark)) == 0
    assert libxl_ao_abort(ctx, how) == ERROR_ABORTED
    rc, given, outcome, _ = program.next_call()
    assert (rc, given is mark) == (ERROR_ABORTED, True)
    assert outcome.guest is GuestState.RUNNING
    assert libxl_ao_abort(ctx, how) == ERROR_NOTFOUND
    assert program.called.empty()
    guest.assert_untouched()


def test_aborted_event_mode(program: Program, guest: Guest, pipe: FullPipe):
    ctx, how = program.ctx, AsyncopHow(for_event=8)
    assert libxl_domain_suspend(ctx, guest.domid, pipe.writing, 2, how) == 0
    assert libxl_ao_abort(ctx, AsyncopHow(for_event=9)) == ERROR_NOTFOUND
    assert libxl_ao_abort(ctx, AsyncopHow(for_event=8)) == 0
    event = program.next_event()
    assert (event.rc, event.for_user) == (ERROR_ABORTED, 8)
    assert libxl_ao_abort(ctx, how) == ERROR_NOTFOUND
    assert libxl_event_check(ctx) is None
    guest.assert_untouched()


def test_aborted_synchronous_call_from_another_thread(
    program: Program, guest: Guest, pipe: FullPipe, in_thread: InThread
):
    answers = []

    def abort() -> None:
        pipe.used()
        answers.append(libxl_ao_abort(program.ctx, None))

    in_thread(abort)
    rc = libxl_domain_suspend(program.ctx, guest.domid, pipe.writing, 0)
    assert rc == ERROR_ABORTED
    assert answers == [0]
    assert libxl_outcome(program.ctx).guest is GuestState.RUNNING
    guest.assert_untouched()


def test_interrupt_of_a_synchronous_call_leaves_nothing_behind(
    program: Program, guest: Guest, pipe: FullPipe, in_thread: InThread
):
    def interrupt() -> None:
        pipe.used()
        os.kill(os.getpid(), signal.SIGINT)

    in_thread(interrupt)
    with pytest.raises(KeyboardInterrupt):
        libxl_domain_suspend(program.ctx, guest.domid, pipe.writing, 0)
    assert libxl_ao_abort(program.ctx, None) == ERROR_NOTFOUND
    guest.assert_untouched()


def test_what_can_not_be_aborted_goes_to_its_end(program: Program, guest: Guest):
    how = program.how("pause")
    assert libxl_domain_pause(program.ctx, guest.domid, how) == 0
    assert libxl_ao_abort(program.ctx, how) in (0, ERROR_NOTFOUND)
    assert program.next_call()[0] == 0
    assert guest.facts()["paused"]
    assert libxl_domain_unpause(program.ctx, guest.domid) == 0


def settle(program: Program, guest: Guest, rc: int) -> None:
    """Code and guest must say the same."""
    assert rc in (0, ERROR_ABORTED)
    assert bool(guest.facts()["shutdown"]) is (rc == 0)
    if rc == 0:
        assert libxl_domain_resume(program.ctx, guest.domid, 1) == 0
    guest.assert_untouched()


@pytest.mark.timeout(180)
def test_abort_at_any_moment_gives_one_completion(
    threaded: Program, guest: Guest, null: int, in_thread: InThread
):
    """Two threads abort, each after so many looks at an operation under way."""
    ctx = threaded.ctx

    def abort_after(looks: int, how: AsyncopHow, answers: list[int]) -> None:
        answer = ERROR_NOTFOUND
        for _ in range(looks):
            answer = libxl_ao_abort(ctx, AsyncopHow(for_event=looks))
        answer = libxl_ao_abort(ctx, how)
        answers.append(answer)

    for number in range(ROUNDS):
        how = threaded.how(object())
        answers: list[int] = []
        rc = libxl_domain_suspend(ctx, guest.domid, null, 2, how)
        assert rc == 0
        racers = [
            in_thread(abort_after, number * 1500 * (1 + racer), how, answers)
            for racer in range(2)
        ]
        rc, given, _, _ = threaded.next_call()
        assert given is how.for_callback
        for racer in racers:
            racer.join()
        assert threaded.called.empty()
        if rc == ERROR_ABORTED:
            assert 0 in answers
        assert answers.count(0) <= 1
        settle(threaded, guest, rc)


@pytest.mark.timeout(180)
def test_abort_at_any_turn_of_a_foreign_loop_gives_one_completion(
    host: Path, guest: Guest, null: int
):

    loop = ForeignLoop()
    program = Program(host, loop)
    rcs = set()
    turns, rc = 0, ERROR_ABORTED
    while rc == ERROR_ABORTED:
        how = program.how(object())
        assert libxl_domain_suspend(program.ctx, guest.domid, null, 0, how) == 0
        assert program.called.empty()
        for _ in range(turns):
            if program.called.empty():
                loop.turn(program.ctx)
        libxl_ao_abort(program.ctx, how)
        rc = program.next_call()[0]
        assert program.called.empty()
        rcs.add(rc)
        settle(program, guest, rc)
        turns += 3
    assert rcs == {0, ERROR_ABORTED}
    libxl_ctx_free(program.ctx)
