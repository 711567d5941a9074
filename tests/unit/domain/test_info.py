"""What a hypervisor says of a domain, and what that means."""

import pytest

from libxlpy import errors
from libxlpy.domain.info import DomainFacts, guest_state
from libxlpy.results.report import GuestState
from libxlpy_protocol.messages import OpResult
from libxlpy_protocol.xen import (
    DOMINF_DYING,
    DOMINF_PAUSED,
    DOMINF_RUNNING,
    DOMINF_SHUTDOWN,
)


def facts(flags: int, reason: int = 0) -> DomainFacts:
    return DomainFacts.from_result(
        OpResult(0, 0, (7, flags, reason, 25, 25, 1, 0, 0), bytes(16))
    )


@pytest.mark.parametrize(
    ("found", "state"),
    [
        (None, GuestState.GONE),
        (facts(DOMINF_RUNNING), GuestState.RUNNING),
        (facts(0), GuestState.RUNNING),
        (facts(DOMINF_PAUSED), GuestState.PAUSED),
        (facts(DOMINF_SHUTDOWN, 2), GuestState.SUSPENDED),
        (facts(DOMINF_SHUTDOWN | DOMINF_PAUSED, 2), GuestState.SUSPENDED),
        (facts(DOMINF_SHUTDOWN, 3), GuestState.SHUTDOWN),
        (facts(DOMINF_DYING | DOMINF_SHUTDOWN, 2), GuestState.GONE),
    ],
)
def test_state_of_a_guest_is_read_from_its_flags(
    found: DomainFacts | None, state: GuestState
):
    assert guest_state(found) is state


def test_short_domain_info_is_refused():
    with pytest.raises(errors.BackendError):
        DomainFacts.from_result(OpResult(0, 0, (7,), bytes(16)))
