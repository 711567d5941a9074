"""Every operation in every mode: waits, calls back, gives an event."""

import os
from pathlib import Path
from typing import Any

import pytest

from libxlpy import GuestState, SaveResult
from libxlpy.errors import DomainNotFound, GuestTimedOut, UsageError
from libxlpy.libxl import (
    AO_INPROGRESS,
    ERROR_FAIL,
    ERROR_GUEST_TIMEDOUT,
    ERROR_INVAL,
    LIBXL_EVENT_TYPE_OPERATION_COMPLETE,
    LIBXL_SUSPEND_DEBUG,
    LIBXL_SUSPEND_LIVE,
    AsyncopHow,
    DomidRef,
    libxl_domain_create_restore,
    libxl_domain_destroy,
    libxl_domain_pause,
    libxl_domain_resume,
    libxl_domain_suspend,
    libxl_domain_unpause,
    libxl_event_check,
    libxl_event_free,
    libxl_outcome,
)
from libxlpy.simxen.client import request
from tests.integration.libxl.conftest import Program
from tests.support.guest import Guest


def config_of(guest: Guest, name: str) -> bytes:
    """Give a guest's configuration as a save file would have it."""
    text = (
        '{"c_info": {"type": "%s", "name": "%s"}, '
        '"b_info": {"max_memkb": 8192, "max_vcpus": 1}}'
    )
    return (text % (guest.kind, name)).encode()


def test_numbers_are_libxls():
    assert (LIBXL_SUSPEND_DEBUG, LIBXL_SUSPEND_LIVE) == (1, 2)
    assert LIBXL_EVENT_TYPE_OPERATION_COMPLETE == 4
    assert AO_INPROGRESS == 0


@pytest.mark.parametrize("flags", [0, 2, 3])
def test_synchronous_call_returns_the_end(
    program: Program, guest: Guest, null: int, flags: int
):
    assert libxl_domain_suspend(program.ctx, guest.domid, null, flags) == 0
    result = libxl_outcome(program.ctx)
    assert isinstance(result, SaveResult)
    assert result.guest is GuestState.SUSPENDED
    assert guest.facts()["shutdown"]
    assert libxl_domain_resume(program.ctx, guest.domid, 1) == 0
    guest.assert_untouched()


def test_callback_is_made_once_with_what_was_given(
    program: Program, guest: Guest, null: int
):
    mark = object()
    rc = libxl_domain_suspend(program.ctx, guest.domid, null, 2, program.how(mark))
    assert rc == AO_INPROGRESS
    rc, given, outcome, thread = program.next_call()
    assert (rc, given is mark) == (0, True)
    assert outcome.guest is GuestState.SUSPENDED
    where = "libxlpy callbacks" if program.loop is None else "MainThread"
    assert thread == where
    assert libxl_domain_resume(program.ctx, guest.domid, 1, program.how("on")) == 0
    assert program.next_call()[:2] == (0, "on")
    assert program.called.empty()
    assert libxl_event_check(program.ctx) is None
    guest.assert_untouched()


def test_event_says_which_operation_and_how_it_ended(
    program: Program, guest: Guest, null: int
):
    how = AsyncopHow(for_event=77)
    assert libxl_domain_suspend(program.ctx, guest.domid, null, 2, how) == 0
    event = program.next_event()
    assert event.type == LIBXL_EVENT_TYPE_OPERATION_COMPLETE
    assert (event.domid, event.for_user, event.rc) == (guest.domid, 77, 0)
    assert event.outcome.guest is GuestState.SUSPENDED
    libxl_event_free(program.ctx, event)
    libxl_event_free(program.ctx, event)
    assert event.outcome is None
    assert libxl_event_check(program.ctx) is None
    assert libxl_domain_resume(program.ctx, guest.domid, 1) == 0


def test_guest_that_does_not_answer_is_the_code_that_says_so(
    program: Program, guest: Guest, null: int
):
    guest.misbehave("never_ack")
    how = AsyncopHow(for_event=1)
    assert libxl_domain_suspend(program.ctx, guest.domid, null, 0, how) == 0
    event = program.next_event()
    assert event.rc == ERROR_GUEST_TIMEDOUT
    assert isinstance(event.outcome, GuestTimedOut)
    assert event.outcome.guest is GuestState.RUNNING


def test_restored_domain_is_there_and_paused(
    program: Program, guest: Guest, tmp_path: Path
):
    ctx, domid = program.ctx, DomidRef()
    with (tmp_path / "image").open("w+b") as file:
        assert libxl_domain_suspend(ctx, guest.domid, file.fileno(), 0) == 0
        saved = guest.verify()
        os.lseek(file.fileno(), 0, os.SEEK_SET)
        config = config_of(guest, f"{guest.name}-re")
        how = program.how("restored")
        rc = libxl_domain_create_restore(ctx, config, domid, file.fileno(), how)
        assert rc == AO_INPROGRESS
        assert program.next_call()[:2] == (0, "restored")
    facts = request(guest.host, "info", domid=domid.value)
    assert facts["paused"]
    again = request(guest.host, "verify", domid=domid.value)
    assert again["digest_memory"] == saved["digest_memory"]
    assert libxl_domain_unpause(ctx, domid.value) == 0
    assert not request(guest.host, "info", domid=domid.value)["paused"]
    assert libxl_domain_pause(ctx, domid.value) == 0
    assert libxl_domain_destroy(ctx, domid.value, program.how("gone")) == 0
    assert program.next_call()[:2] == (0, "gone")
    domains = {each["domid"] for each in request(guest.host, "list")["domains"]}
    assert domid.value not in domains
    assert libxl_domain_resume(ctx, guest.domid, 0) == 0


HOWS = [None, AsyncopHow(for_event=3), "callback"]


@pytest.mark.parametrize("mode", HOWS)
@pytest.mark.parametrize(
    ("flags", "domid", "fd", "rc"),
    [
        (4, None, None, ERROR_INVAL),
        (-1, None, None, ERROR_INVAL),
        ("live", None, None, ERROR_INVAL),
        (0, 31000, None, ERROR_FAIL),
        (0, "web", None, ERROR_INVAL),
        (0, None, 9999, ERROR_INVAL),
    ],
)
def test_refused_call_returns_why_and_nothing_else_happens(
    program: Program, guest: Guest, null: int, mode: Any, flags: Any, domid: Any,
    fd: Any, rc: int,
):  # fmt: skip
    how = program.how() if mode == "callback" else mode
    number = guest.domid if domid is None else domid
    stream = null if fd is None else fd
    assert libxl_domain_suspend(program.ctx, number, stream, flags, how) == rc
    kind = DomainNotFound if domid == 31000 else UsageError
    assert isinstance(libxl_outcome(program.ctx), kind)
    # What would come would come before this:
    assert libxl_domain_pause(program.ctx, guest.domid, program.how("later")) == 0
    assert program.next_call()[1] == "later"
    assert program.called.empty()
    assert libxl_event_check(program.ctx) is None
    assert libxl_domain_unpause(program.ctx, guest.domid) == 0
    guest.assert_untouched()


def test_second_save_of_a_domain_is_refused(program: Program, guest: Guest, null: int):
    ctx = program.ctx
    assert libxl_domain_suspend(ctx, guest.domid, null, 2, program.how()) == 0
    assert libxl_domain_suspend(ctx, guest.domid, null, 2, program.how()) == ERROR_FAIL
    assert program.next_call()[0] == 0
    assert libxl_domain_resume(ctx, guest.domid, 1) == 0
    assert program.called.empty()


def test_resume_of_a_running_domain_ends_as_invalid(program: Program, guest: Guest):
    assert libxl_domain_resume(program.ctx, guest.domid, 1) == ERROR_INVAL
    assert libxl_domain_resume(program.ctx, 99999999, 1, program.how()) == ERROR_INVAL
    assert libxl_domain_resume(program.ctx, guest.domid, 1, program.how("x")) == 0
    assert program.next_call()[:2] == (ERROR_INVAL, "x")
    guest.assert_untouched()


@pytest.mark.parametrize("bad", ["config", "ref"])
def test_restore_that_can_not_be_is_refused(program: Program, null: int, bad: str):
    reading, writing = os.pipe()
    domid: Any = 5 if bad == "ref" else DomidRef()
    config = b"{}" if bad == "config" else b""
    rc = libxl_domain_create_restore(program.ctx, config, domid, reading)
    assert rc == ERROR_INVAL
    assert bad == "ref" or domid.value == -1
    os.close(reading)
    os.close(writing)


def test_how_of_another_kind_is_a_mistake_of_the_program(
    program: Program, guest: Guest
):
    wrong: Any = 5
    with pytest.raises(UsageError, match="AsyncopHow"):
        libxl_domain_pause(program.ctx, guest.domid, wrong)
