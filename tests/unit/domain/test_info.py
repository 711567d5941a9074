"""What a hypervisor says of a domain, and what that means."""

import pytest

from libxlpy import errors
from libxlpy.domain.info import (
    DYING,
    PAUSED,
    RUNNING,
    SHUT_DOWN,
    DomainFacts,
    guest_state,
)
from libxlpy.results import GuestState
from libxlpy_protocol.messages import OpResult


def facts(flags: int, reason: int = 0) -> DomainFacts:
    return DomainFacts.from_result(
        OpResult(0, 0, (7, flags, reason, 25, 25, 1, 0, 0), bytes(16))
    )


@pytest.mark.parametrize(
    ("found", "state"),
    [
        (None, GuestState.GONE),
        (facts(RUNNING), GuestState.RUNNING),
        (facts(0), GuestState.RUNNING),
        (facts(PAUSED), GuestState.PAUSED),
        (facts(SHUT_DOWN, 2), GuestState.SUSPENDED),
        (facts(SHUT_DOWN | PAUSED, 2), GuestState.SUSPENDED),
        (facts(SHUT_DOWN, 3), GuestState.SHUTDOWN),
        (facts(DYING | SHUT_DOWN, 2), GuestState.GONE),
    ],
)
def test_state_of_a_guest_is_read_from_its_flags(
    found: DomainFacts | None, state: GuestState
):
    assert guest_state(found) is state


def test_short_domain_info_is_refused():
    with pytest.raises(errors.BackendError):
        DomainFacts.from_result(OpResult(0, 0, (7,), bytes(16)))
