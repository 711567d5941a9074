"""No loss, delay or death of primary, backup or fence makes two guests, or none."""

from collections.abc import Mapping
from dataclasses import replace

import pytest

from libxlpy_protocol.migration.handshake import RECEIVER, Event, Receiving
from libxlpy_protocol.migration.protection import BACKUP, Holding, State
from tests.support.migration_checks import (
    PROTECTED_ALWAYS,
    PROTECTED_IN_THE_END,
    broken,
)
from tests.support.migration_model import CERTAIN, Pair, protection

DONE, REFUSED, FAILED = Event.DONE, Event.REFUSED, Event.FAILED


def backup(changes: Mapping[State, Mapping[Event, State]]) -> Pair:
    """Our two ends, with other entries in the backup's table."""
    rows = {place: {**row, **changes.get(place, {})} for place, row in BACKUP.items()}
    return replace(protection(), receiver=rows)


def test_all_holds() -> None:
    for name, trace in broken(protection()).items():
        pytest.fail(f"{name}:\n{trace}")


#: What is built otherwise -> the checks that find it, at least.
BUGS: dict[str, tuple[Pair, set[str]]] = {
    "silence is taken for a proof": (
        backup({Holding.HELD: {FAILED: Holding.TAKE_OVER}}),
        {"never_two_run"},
    ),
    "who does not know is taken for a proof": (
        backup({Holding.FENCE: {FAILED: Holding.TAKE_OVER}}),
        {"never_two_run"},
    ),
    "a primary that lives is not believed": (
        backup({Holding.FENCE: {REFUSED: Holding.TAKE_OVER}}),
        {"never_two_run"},
    ),
    "the copy goes with the connection": (
        backup({Holding.HELD: {FAILED: Receiving.WITHDRAW}}),
        {"kept_when_the_primary_is_gone"},
    ),
    "the copy goes if nobody knows": (
        backup({Holding.FENCE: {FAILED: Receiving.WITHDRAW}}),
        {"kept_when_the_primary_is_gone"},
    ),
    "a backup that is handed over to is a receiver and no more": (
        backup({place: RECEIVER[place] for place in RECEIVER}),
        {"kept_when_the_primary_is_gone", "copy_runs_if_only_the_primary_is_gone"},
    ),
    "nobody is asked": (
        backup({Holding.HELD: {FAILED: Receiving.OPEN}}),
        {"copy_runs_if_only_the_primary_is_gone"},
    ),
    "a copy that could not be let run is told to run": (
        backup({Holding.TAKE_OVER: {FAILED: Receiving.RUNS}}),
        {"receiver_tells_the_truth"},
    ),
    "what is handed over is withdrawn": (
        backup({Holding.HELD: {DONE: Receiving.WITHDRAW}}),
        {"it_moves_without_a_fault"},
    ),
}


@pytest.mark.parametrize(("pair", "checks"), BUGS.values(), ids=BUGS)
def test_a_bug_is_found(pair: Pair, checks: set[str]) -> None:
    assert checks <= set(broken(pair))


def test_the_checks_of_a_protection_find_a_bug() -> None:
    """Those that migrations have, too, find theirs in their own model."""
    own = {check.__name__ for check in (*PROTECTED_ALWAYS, *PROTECTED_IN_THE_END)}
    found = set().union(*(checks for _, checks in BUGS.values()))
    assert {name for name in own if "primary" in name} <= found <= own


def test_taking_over_fails_for_certain_or_is_unsure() -> None:
    pair = replace(protection(), certain=CERTAIN - {Holding.TAKE_OVER})
    assert "receiver_tells_the_truth" in broken(pair)


def test_each_state_has_a_row_with_what_can_happen() -> None:
    for place in Holding:
        more = Event.UNSURE if place is Holding.TAKE_OVER else REFUSED
        assert set(BACKUP[place]) == {DONE, FAILED, more}
    for place, row in RECEIVER.items():
        assert set(BACKUP[place]) == set(row)
