"""What must hold in every world of `tests.support.migration_model`, check by check."""

from collections.abc import Callable, Iterator, Mapping
from itertools import filterfalse
from typing import Any, Final, TypeAlias

from libxlpy_protocol.migration.handshake import Event, Receiving, Sending
from libxlpy_protocol.migration.protection import Holding
from tests.support.migration_model import (
    Copy,
    Journal,
    Life,
    Pair,
    Place,
    Source,
    World,
    past,
)
from tests.support.migration_walk import Explored, explore

Check: TypeAlias = Callable[[World], bool]


def never_two_run(world: World) -> bool:
    """The guest does not run at the sender while its copy runs."""
    return (world.source, world.copy) != (Source.RUNNING, Copy.RUNNING)


def never_nowhere(world: World) -> bool:
    """A sender's guest that is destroyed has a copy."""
    return world.source is not Source.DESTROYED or world.copy is not Copy.NONE


def destroyed_only_if_the_copy_runs(world: World) -> bool:
    """A sender's guest that is destroyed runs at the receiver."""
    return world.source is not Source.DESTROYED or world.copy is Copy.RUNNING


def kept_when_the_sender_host_is_gone(world: World) -> bool:
    """A copy that was given away, and could be started, outlives the sender's host."""
    given = past(Sending.GO, Event.DONE) in world.sender.seen
    unable = past(Receiving.START, Event.FAILED) in world.receiver.seen
    lost = world.source is Source.LOST and world.copy is Copy.NONE
    return not (lost and given) or unable


def kept_when_the_primary_is_gone(world: World) -> bool:
    """A backup's copy outlives the primary, unless that went on with its own guest."""
    if world.source is not Source.LOST or world.copy is not Copy.NONE:
        return True
    went_on = (Holding.HELD, Holding.FENCE, Receiving.GO, Receiving.DECLINE)
    told = {past(place, Event.REFUSED) for place in went_on}
    unable = past(Receiving.START, Event.FAILED) in world.receiver.seen
    return unable or bool(told & set(world.receiver.seen))


def receiver_tells_the_truth(world: World) -> bool:
    """In RUNS the copy runs, in NOTHING there is none, in OPEN it is paused."""
    told: dict[Place, set[Copy]] = {
        Receiving.RUNS: {Copy.RUNNING},
        Receiving.NOTHING: {Copy.NONE},
        Receiving.OPEN: {Copy.PAUSED},
        Receiving.DOUBT: {Copy.PAUSED, Copy.RUNNING},
    }
    return world.copy in told.get(world.receiver.place, {world.copy})


def sender_tells_the_truth(world: World) -> bool:
    """The sender, or its journal, ends in MOVED if the copy runs; not so in STAYS.

    One that is gone with its host says nothing.
    """
    place, runs = world.sender.place, world.copy is Copy.RUNNING
    if place is Sending.MOVED or world.journal is Journal.MOVED:
        return runs
    says = place is Sending.STAYS and world.sender.life is not Life.LOST
    return not (says and runs)


def one_runs_or_it_is_said(world: World) -> bool:
    """In the end one runs, or a living end or a dead one's journal says otherwise."""
    sender, receiver = world.sender, world.receiver
    if world.source is Source.RUNNING or world.copy is Copy.RUNNING:
        return True
    kept = world.copy is Copy.PAUSED
    says = (Receiving.OPEN, Receiving.DOUBT)
    if kept and receiver.life is Life.ALIVE and receiver.place in says:
        return True
    if sender.life is Life.ALIVE:
        return sender.place is Sending.OPEN or world.reported
    if sender.life is Life.DEAD:
        return world.journal is not Journal.NOTHING
    # With its host gone nobody is left to say so, unless the receiver has a copy.
    return receiver.life is Life.DEAD or not kept


def it_moves_without_a_fault(world: World) -> bool:
    """In the end the guest is the receiver's alone, and both ends say so."""
    places = (world.sender.place, world.receiver.place)
    guests = (world.source, world.copy)
    moved = (Sending.MOVED, Receiving.RUNS)
    return places == moved and guests == (Source.DESTROYED, Copy.RUNNING)


def one_runs_if_both_outlive_one_fault(world: World) -> bool:
    """In the end one runs, unless an end has died, or can't see what it has done."""
    both = world.sender.life is world.receiver.life is Life.ALIVE
    if world.receiver.place is Receiving.DOUBT:
        return True
    return not both or Source.RUNNING is world.source or Copy.RUNNING is world.copy


def copy_runs_if_only_the_primary_is_gone(world: World) -> bool:
    """In the end, after that one fault, the guest goes on."""
    gone = world.source is Source.LOST and world.sender.life is Life.LOST
    return not gone or world.copy is Copy.RUNNING


def open_only_if_the_copy_may_run(explored: Explored) -> Iterator[World]:
    """What has led the sender to OPEN leads to a copy that runs, in some world."""
    where = [w for w in explored.came if w.sender.place is Sending.OPEN]
    may_run = {w.sender.seen for w in where if w.copy is Copy.RUNNING}
    return (w for w in where if w.sender.seen not in may_run)


ALWAYS: Final[tuple[Check, ...]] = (
    never_two_run,
    never_nowhere,
    destroyed_only_if_the_copy_runs,
    kept_when_the_sender_host_is_gone,
    receiver_tells_the_truth,
    sender_tells_the_truth,
)
#: With how many faults at most, None for any number.
IN_THE_END: Final[Mapping[Check, int | None]] = {
    one_runs_or_it_is_said: None,
    one_runs_if_both_outlive_one_fault: 1,
    it_moves_without_a_fault: 0,
}
#: Of a primary and its backup, besides: it has its own word for what is kept.
PROTECTED_ALWAYS: Final[tuple[Check, ...]] = (
    *(check for check in ALWAYS if check is not kept_when_the_sender_host_is_gone),
    kept_when_the_primary_is_gone,
)
PROTECTED_IN_THE_END: Final[Mapping[Check, int | None]] = {
    **IN_THE_END,
    copy_runs_if_only_the_primary_is_gone: 1,
}
CHECKS: Final = (*ALWAYS, *IN_THE_END, open_only_if_the_copy_may_run)


def broken(pair: Pair) -> dict[str, str]:
    """Name of each check that does not hold, and a shortest way to where."""
    walks = {most: explore(pair, most) for most in (None, 1, 0)}
    return {
        check.__name__: walks[most].trace(world)
        for check, most, worlds in _failing(walks)
        if (world := next(worlds, None)) is not None
    }


def _failing(
    walks: Mapping[int | None, Explored],
) -> Iterator[tuple[Callable[..., Any], int | None, Iterator[World]]]:
    """Each check, the walk it is about, and the worlds there where it does not hold."""
    protects = walks[None].pair.protects
    for check in PROTECTED_ALWAYS if protects else ALWAYS:
        yield check, None, filterfalse(check, walks[None].came)
    in_the_end = PROTECTED_IN_THE_END if protects else IN_THE_END
    for check, most in in_the_end.items():
        yield check, most, filterfalse(check, walks[most].ended())
    every = walks[None]
    yield open_only_if_the_copy_may_run, None, open_only_if_the_copy_may_run(every)
