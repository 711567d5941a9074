"""What the options of a live copy mean, alone and together."""

import pytest

from libxlpy.cli.precopy import PrecopyOptions
from libxlpy.policies import Deadline, DowntimeBudget, FirstOf, OnTimeout, Policy, Xen

BUSY = Xen(max_iters=3, min_remaining=9, abort_if_busy=True)
#: Options -> (the policy, the deadline of the whole job).
MEANINGS: list[tuple[dict[str, object], Policy | None, int | None]] = [
    ({}, None, None),
    ({"timeout": 9}, None, 9),
    ({"max_downtime": 300}, FirstOf(DowntimeBudget(300)), None),
    ({"max_downtime": 300, "timeout": 9}, FirstOf(DowntimeBudget(300)), 9),
    ({"timeout": 9, "on_timeout": "stop"}, Deadline(9, OnTimeout.STOP, Xen()), None),
    (
        {"timeout": 9, "on_timeout": "stop", "max_downtime": 300},
        Deadline(9, OnTimeout.STOP, FirstOf(DowntimeBudget(300))),
        None,
    ),
    ({"max_iters": 5}, FirstOf(Xen()), None),
    ({"abort_if_busy": True}, FirstOf(Xen(abort_if_busy=True)), None),
    (
        {
            "max_downtime": 300,
            "max_iters": 3,
            "min_remaining": 9,
            "abort_if_busy": True,
        },
        FirstOf(DowntimeBudget(300), BUSY),
        None,
    ),
]


@pytest.mark.parametrize("number", range(len(MEANINGS)))
def test_options_are_a_policy_and_a_deadline(number: int):
    given, policy, total = MEANINGS[number]
    nothing = dict.fromkeys(("max_downtime", "timeout", "max_iters", "min_remaining"))
    known = {**nothing, "on_timeout": "cancel", "abort_if_busy": False, **given}
    options = PrecopyOptions(**known)  # type: ignore[arg-type]
    assert options.policy == policy
    assert options.total == total
