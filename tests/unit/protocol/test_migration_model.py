"""No loss, delay or death makes two guests of one, or none: every world is walked.

And each check finds what it is for: what the real xl does (Xen, tools/xl/xl_migrate.c),
and what ours would if it were built a little otherwise.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import pytest

from libxlpy_protocol.migration.handshake import (
    RECEIVER,
    SENDER,
    Event,
    Receiving,
    Sending,
)
from libxlpy_protocol.migration.protection import Holding
from libxlpy_protocol.migration.xl import GO
from tests.support.migration_checks import CHECKS, broken
from tests.support.migration_model import (
    ACTS,
    CERTAIN,
    OWN_ACTS,
    Deed,
    Hear,
    Pair,
    Place,
    Say,
)

DONE, REFUSED, FAILED = Event.DONE, Event.REFUSED, Event.FAILED
TABLES: tuple[Mapping[Any, Mapping[Event, Any]], ...] = (SENDER, RECEIVER)
ENDS: tuple[set[Any], ...] = (
    {Sending.MOVED, Sending.STAYS, Sending.OPEN},
    {Receiving.RUNS, Receiving.NOTHING, Receiving.OPEN, Receiving.DOUBT},
)

#: xl leaves its guest suspended after whatever fails from GO on.
XL_SENDING = {
    Sending.GO: {FAILED: Sending.OPEN},
    Sending.PERMISSION: {FAILED: Sending.OPEN},
}
#: xl exits, the same way as if it had nothing, as soon as it can't write.
XL_RECEIVING = {
    Receiving.RECEIVED: {FAILED: Receiving.NOTHING},
    Receiving.GO: {FAILED: Receiving.REFUSAL},
    Receiving.REPORT: {FAILED: Receiving.NOTHING},
    Receiving.REFUSAL: {FAILED: Receiving.NOTHING},
    Receiving.REMOVE: {FAILED: Receiving.NOTHING},
}
#: xl has neither journal nor guard.
XL_ACTS = {**ACTS, Sending.GO: (Say(GO),), Sending.MOVED: (Deed.DESTROY,)}


def sender(changes: Mapping[Sending, Mapping[Event, Sending]]) -> Pair:
    """Our two ends, with other entries in the sender's table."""
    rows = {place: {**row, **changes.get(place, {})} for place, row in SENDER.items()}
    return Pair(sender=rows)


def receiver(changes: Mapping[Receiving, Mapping[Event, Receiving]]) -> Pair:
    """Our two ends, with other entries in the receiver's table."""
    rows = {p: {**row, **changes.get(p, {})} for p, row in RECEIVER.items()}
    return Pair(receiver=rows)


XL_SENDER = replace(sender(XL_SENDING), acts=XL_ACTS, guarded=False)
XL_RECEIVER = receiver(XL_RECEIVING)


OWN = replace(Pair(), acts=OWN_ACTS)


@pytest.mark.parametrize("pair", [Pair(), OWN], ids=["xl's handshake", "ours"])
def test_all_holds_between_two_of_ours(pair: Pair) -> None:
    for name, trace in broken(pair).items():
        pytest.fail(f"{name}:\n{trace}")


# ----- with an xl at one end -----

# Safe with either: never do two run, none is destroyed but for a copy that runs, and
# the sender does not say other than what is. What does not hold is xl's own doing.

MIXED = {
    # Its receiver destroys, on silence, a copy that may be the only one (row 9). Where
    # a write fails it leaves it, paused or running, and does not say so (rows 9, 12):
    # nobody does if the sender's host is gone.
    "xl receives": (
        XL_RECEIVER,
        {
            "kept_when_the_sender_host_is_gone",
            "receiver_tells_the_truth",
            "one_runs_or_it_is_said",
        },
    ),
    # Its sender leaves the guest suspended where it could go on (row 14, and where GO
    # can't be written), and where it dies (row 15).
    "xl sends": (
        XL_SENDER,
        {
            "open_only_if_the_copy_may_run",
            "one_runs_or_it_is_said",
            "one_runs_if_both_outlive_one_fault",
        },
    ),
    "xl does both": (
        replace(XL_SENDER, receiver=XL_RECEIVER.receiver),
        {
            "kept_when_the_sender_host_is_gone",
            "receiver_tells_the_truth",
            "open_only_if_the_copy_may_run",
            "one_runs_or_it_is_said",
            "one_runs_if_both_outlive_one_fault",
        },
    ),
}


@pytest.mark.parametrize(("pair", "not_held"), MIXED.values(), ids=MIXED)
def test_what_does_not_hold_with_xl(pair: Pair, not_held: set[str]) -> None:
    found = broken(pair)
    assert set(found) == not_held, "\n\n".join(found.values())


# ----- bugs, and what finds them -----


@dataclass(frozen=True)
class Bug:
    """What is built otherwise, the check that finds it, and the last steps to there."""

    pair: Pair
    check: str
    steps: tuple[str, ...]


IN_VAIN = "sender waits for REPORT (it runs) in vain"

BUGS = {
    "xl, row 9: a copy is destroyed on silence": Bug(
        receiver({Receiving.GO: {FAILED: Receiving.REFUSAL}}),
        "kept_when_the_sender_host_is_gone",
        (
            "sender says GO",
            "sender dies with its host",
            "receiver waits for GO in vain",
            "receiver says REPORT (it does not)",
            "receiver destroys the copy",
        ),
    ),
    "xl, row 9: a paused copy is left in silence": Bug(
        receiver({Receiving.REFUSAL: {FAILED: Receiving.NOTHING}}),
        "receiver_tells_the_truth",
        (
            "receiver lets the copy run: fails",
            "receiver says REPORT (it does not): fails",
        ),
    ),
    "xl, row 12: a running copy is left in silence": Bug(
        receiver({Receiving.REPORT: {FAILED: Receiving.NOTHING}}),
        "receiver_tells_the_truth",
        ("receiver lets the copy run", "receiver says REPORT (it runs): fails"),
    ),
    "xl, row 14: the sender needs a permission that is lost": Bug(
        sender({Sending.PERMISSION: {FAILED: Sending.OPEN}}),
        "open_only_if_the_copy_may_run",
        ("sender reads REPORT (it does not)", "sender waits for GO in vain"),
    ),
    "xl, row 15: the sender dies, and nobody lets the guest run": Bug(
        replace(Pair(), guarded=False),
        "one_runs_or_it_is_said",
        ("sender suspends the guest", "sender dies"),
    ),
    "GO is lost, and the sender not told": Bug(
        receiver({Receiving.GO: {FAILED: Receiving.OPEN}}),
        "one_runs_if_both_outlive_one_fault",
        ("sender says GO", "receiver waits for GO in vain", IN_VAIN),
    ),
    "the journal comes after the guard is gone": Bug(
        replace(
            Pair(),
            acts={
                **ACTS,
                Sending.GO: (Deed.LOOK, Deed.DISARM, Deed.JOURNAL_GO, Say(GO)),
            },
        ),
        "one_runs_or_it_is_said",
        (
            "sender hears that its helper leaves the guest suspended",
            "sender dies",
            "receiver dies",
        ),
    ),
    "the guard is told to let go, and its answer not waited for": Bug(
        replace(
            Pair(),
            acts={
                **ACTS,
                Sending.GO: (Deed.LOOK, Deed.JOURNAL_GO, Deed.TELL_GUARD, Say(GO)),
            },
        ),
        "never_two_run",
        (
            "sender sees that the guest is suspended",
            "sender writes 'go' to the journal",
            "sender is stopped, its helper lets the guest run",
            "sender tells its helper to leave the guest suspended",
            "sender says GO",
            "receiver reads GO",
            "receiver lets the copy run",
        ),
    ),
    "no report is taken for a bad one": Bug(
        sender({Sending.REPORT: {FAILED: Sending.STAYS}}),
        "never_two_run",
        ("receiver reads GO", "receiver lets the copy run"),
    ),
    "no report is taken for a good one": Bug(
        sender({Sending.REPORT: {FAILED: Sending.MOVED}}),
        "destroyed_only_if_the_copy_runs",
        (IN_VAIN, "sender writes 'moved' to the journal", "sender destroys the guest"),
    ),
    "a bad report is taken for a good one": Bug(
        sender({Sending.REPORT: {REFUSED: Sending.MOVED}}),
        "never_nowhere",
        ("sender destroys the guest", "receiver destroys the copy"),
    ),
    "the guest stays though all is well": Bug(
        sender({Sending.NAME: {DONE: Sending.STAYS}}),
        "it_moves_without_a_fault",
        ("receiver says GO",),
    ),
    "the sender stays once it has said GO": Bug(
        sender({Sending.GO: {DONE: Sending.STAYS}}),
        "sender_tells_the_truth",
        ("receiver lets the copy run",),
    ),
}


BUGS |= {  # in our own handshake
    "a sender that has given up is taken for one that says GO": Bug(
        replace(receiver({Receiving.GO: {REFUSED: Receiving.START}}), acts=OWN_ACTS),
        "never_two_run",
        ("receiver reads GIVEN_UP", "receiver lets the copy run"),
    ),
    "the sender says that it has given up once GO may have left": Bug(
        replace(sender({Sending.REPORT: {FAILED: Sending.STAYS}}), acts=OWN_ACTS),
        "never_two_run",
        ("receiver reads GO", "receiver lets the copy run"),
    ),
}


@pytest.mark.parametrize("bug", BUGS.values(), ids=BUGS)
def test_a_bug_is_found_by_a_shortest_way_to_it(bug: Bug) -> None:
    found = broken(bug.pair)
    assert bug.check in found
    *steps, _ = found[bug.check].splitlines()
    assert tuple(steps[-len(bug.steps) :]) == bug.steps, found[bug.check]


def test_each_check_finds_a_bug() -> None:
    assert {bug.check for bug in BUGS.values()} == {check.__name__ for check in CHECKS}


NEEDED: dict[Place, str] = {
    Sending.GO: "never_two_run",
    Receiving.BUILD: "receiver_tells_the_truth",
    Receiving.RECEIVED: "kept_when_the_sender_host_is_gone",
    Receiving.START: "never_two_run",
    Receiving.REMOVE: "receiver_tells_the_truth",
    Receiving.WITHDRAW: "receiver_tells_the_truth",
}


@pytest.mark.parametrize("place", NEEDED, ids=str)
def test_a_failure_must_be_certain_exactly_where_it_is_said_to(place: Place) -> None:
    assert set(NEEDED) == CERTAIN - {*Holding}
    assert NEEDED[place] in broken(replace(Pair(), certain=CERTAIN - {place}))


# ----- the tables are whole -----


def test_each_state_has_a_row_or_is_an_end() -> None:
    for table, ends, states in zip(TABLES, ENDS, (Sending, Receiving), strict=True):
        assert set(table) == set(states) - ends
    assert set(ACTS) == {*Sending, *Receiving}


def test_each_row_has_the_events_that_can_happen() -> None:
    for table in TABLES:
        for place, row in table.items():
            refusals = (Sending.REPORT, Receiving.GO, Receiving.DECLINE)
            can_refuse = place in refusals
            more = {REFUSED} if can_refuse else set()
            if place is Receiving.START:
                more = {Event.UNSURE}
            assert set(row) == {DONE, FAILED} | more
            hears = [act for act in OWN_ACTS[place] if isinstance(act, Hear)]
            assert any(act.refused is not None for act in hears) == can_refuse


def test_each_state_can_be_reached_and_none_again() -> None:
    for table, states in zip(TABLES, (Sending, Receiving), strict=True):
        first, *_ = states
        assert set(_ways(table, first)) == set(states)


def _ways(
    table: Mapping[Any, Mapping[Event, Any]], place: Any, before: tuple[Any, ...] = ()
) -> Iterator[Any]:
    """Each state on each way from one, with those on the way to it."""
    assert place not in before
    yield place
    for follows in table.get(place, {}).values():
        yield from _ways(table, follows, (*before, place))
