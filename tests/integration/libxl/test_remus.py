"""Remus is asked for as in C, checked, and refused with nothing done."""

import pytest

from libxlpy.errors import NotSupported, UsageError
from libxlpy.libxl import (
    ERROR_INVAL,
    ERROR_NI,
    AsyncopHow,
    RemusInfo,
    libxl_domain_remus_start,
    libxl_event_check,
    libxl_outcome,
)
from tests.integration.libxl.conftest import Program
from tests.support.guest import Guest

INTERVAL = 200


@pytest.mark.parametrize("how", [None, AsyncopHow(for_event=1)])
def test_it_is_refused_and_the_guest_runs_on(
    program: Program, guest: Guest, null: int, how: AsyncopHow | None
):
    info = RemusInfo(INTERVAL, colo=False)
    domid = guest.domid
    rc = libxl_domain_remus_start(program.ctx, info, domid, null, null, how)
    assert rc == ERROR_NI
    outcome = libxl_outcome(program.ctx)
    assert isinstance(outcome, NotSupported)
    assert "StreamType.REMUS" in str(outcome)
    assert libxl_event_check(program.ctx) is None
    guest.assert_untouched()


@pytest.mark.parametrize(
    ("info", "said"),
    [
        (None, "info must be a RemusInfo"),
        (RemusInfo(0, colo=False), "interval 0"),
        (RemusInfo(INTERVAL), "colo None"),
        (RemusInfo(INTERVAL, colo=True), "colo True"),
        (RemusInfo(INTERVAL, colo=False, blackhole=True), "blackhole"),
        (RemusInfo(INTERVAL, colo=False, netbuf=False), "allow_unsafe"),
    ],
)
def test_bad_info_is_one_clear_line(
    program: Program, guest: Guest, null: int, info: RemusInfo, said: str
):
    rc = libxl_domain_remus_start(program.ctx, info, guest.domid, null, null)
    assert rc == ERROR_INVAL
    outcome = libxl_outcome(program.ctx)
    assert isinstance(outcome, UsageError)
    assert said in str(outcome)
