"""A walk through each world that a migration's two ends can get into.

It goes breadth first, so that what led to a world is shortest. Of these things each one
that can happen does:

- an act is done or fails; one that failed may have had its effect all the same, unless
  its state is one of `Pair.certain`;
- a text in flight arrives, or is lost as its direction of the connection is cut; what
  is written into a cut one is lost whether that fails or not;
- a wait ends without the text, also while that is on its way: an end of the connection
  and a time-out are one, so a death needs no cut of its own;
- an end dies, the sender also with its host; its journal is read later;
- who is asked whether the primary is gone says so if it is, or has made it so; that it
  is not if its guest runs; else, or at any time, that nobody knows;
- the sender is stopped for so long that its guard lets the guest run, then goes on.

Whatever does not go as it should is a fault, unless another fault makes it certain.
"""

from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from libxlpy_protocol.migration.handshake import Event, Sending
from libxlpy_protocol.migration.protection import Holding
from tests.support.migration_model import (
    EFFECTS,
    NAMES,
    Copy,
    Deed,
    End,
    Guard,
    Hear,
    Journal,
    Life,
    Pair,
    Say,
    Source,
    Way,
    World,
    past,
)


class Step(NamedTuple):
    """One thing that can happen next."""

    words: str
    after: World
    #: It goes on as it should, or as it must after another fault.
    good: bool = False


class Outcome(NamedTuple):
    """One way in which an act can end."""

    words: str
    after: World
    event: Event
    good: bool


def steps(pair: Pair, world: World) -> Iterator[Step]:
    """Each thing that can happen next."""
    for name in ("sender", "receiver"):
        if goes_on(pair, getattr(world, name)):
            yield from _acts(pair, world, name)
            yield from _deaths(world, name)
    yield from _silences(world)
    for name in ("to_receiver", "to_sender"):
        yield from _cuts(world, name)
    if recovers(world):
        after = replace(world, source=Source.DESTROYED)
        yield Step("recovery destroys the guest that has moved", after, good=True)


def goes_on(pair: Pair, end: End) -> bool:
    """Whether an end is alive and has something left to do."""
    return end.life is Life.ALIVE and end.at < len(pair.acts[end.place])


def recovers(world: World) -> bool:
    """Whether the journal of a dead sender says what to do."""
    dead = world.sender.life is Life.DEAD and world.journal is Journal.MOVED
    return dead and world.source is not Source.DESTROYED


def _acts(pair: Pair, world: World, name: str) -> Iterator[Step]:
    end: End = getattr(world, name)
    acts = pair.acts[end.place]
    act = acts[end.at]
    sure = end.place in pair.certain and end.at == len(acts) - 1
    match act:
        case Hear():
            outcomes = _heard(pair, world, name, act)
        case Say():
            outcomes = _said(world, name, act, sure=sure)
        case Deed.FENCE:
            outcomes = _fenced(world)
        case _:
            unsure = pair.follows(end.place, Event.UNSURE) is not None
            outcomes = _done(world, act, sure=sure, unsure=unsure)
            if _is_refused(world, act):
                words = f"{act.value}: it is not so"
                outcomes = iter((Outcome(words, world, Event.FAILED, good=True),))
    for words, after, event, good in outcomes:
        yield Step(f"{name} {words}", _advance(pair, after, name, event), good)


def _heard(pair: Pair, world: World, name: str, act: Hear) -> Iterator[Outcome]:
    way: Way = getattr(world, f"to_{name}")
    if way.texts:
        text, *rest = way.texts
        after = _with(world, f"to_{name}", replace(way, texts=tuple(rest)))
        yield Outcome(f"reads {NAMES[text]}", after, act.event(text), good=True)
    other = world.receiver if name == "sender" else world.sender
    comes = way.texts or (way.intact and goes_on(pair, other))
    # What arrives later is not read any more.
    deaf = _with(world, f"to_{name}", Way(intact=False))
    words = f"waits for {NAMES[act.done]} in vain"
    yield Outcome(words, deaf, Event.FAILED, good=not comes)


def _said(world: World, name: str, act: Say, *, sure: bool) -> Iterator[Outcome]:
    out = "to_receiver" if name == "sender" else "to_sender"
    way: Way = getattr(world, out)
    words = f"says {NAMES[act.text]}"
    after = world
    if way.intact:
        after = _with(world, out, replace(way, texts=(*way.texts, act.text)))
    yield Outcome(words, after, Event.DONE, good=True)
    yield Outcome(f"{words}: fails", world, Event.FAILED, good=not way.intact)
    if not sure:
        words += ": fails, yet it is on its way"
        yield Outcome(words, after, Event.FAILED, good=False)


def _done(world: World, deed: Deed, *, sure: bool, unsure: bool) -> Iterator[Outcome]:
    words = deed.value
    after = replace(world, **EFFECTS[deed])
    yield Outcome(words, after, Event.DONE, good=True)
    for then in (world, after) if unsure else ():
        yield Outcome(f"{words}: nobody knows", then, Event.UNSURE, good=False)
    yield Outcome(f"{words}: fails", world, Event.FAILED, good=False)
    if not sure:
        words += ": fails, yet it is done"
        yield Outcome(words, after, Event.FAILED, good=False)


def _fenced(world: World) -> Iterator[Outcome]:
    """It looks, or has the primary's host switched off."""
    is_gone = world.source in (Source.LOST, Source.DESTROYED)
    if is_gone:
        yield Outcome("hears that the primary is gone", world, Event.DONE, good=True)
    else:
        lost = replace(world.sender, life=Life.LOST)
        after = replace(world, sender=lost, source=Source.LOST)
        words = "has the primary's host switched off"
        yield Outcome(words, after, Event.DONE, good=True)
    if world.source is Source.RUNNING:
        words = "hears that the primary's guest runs"
        yield Outcome(words, world, Event.REFUSED, good=True)
    is_clear = is_gone or world.source is Source.RUNNING
    words = "hears that nobody knows of the primary"
    yield Outcome(words, world, Event.FAILED, good=not is_clear)


def _is_refused(world: World, deed: Deed) -> bool:
    """Whether what the sender would hear or see is not so."""
    if deed is Deed.DISARM:
        return world.guard is Guard.ACTED
    return deed is Deed.LOOK and world.source is not Source.SUSPENDED


def _advance(pair: Pair, world: World, name: str, event: Event) -> World:
    end: End = getattr(world, name)
    length = len(pair.acts[end.place])
    if event is Event.DONE and end.at + 1 < length:
        return _with(world, name, replace(end, at=end.at + 1))
    follows = pair.follows(end.place, event)
    if follows is None:
        world = replace(world, reported=world.reported or event is Event.FAILED)
        return _with(world, name, replace(end, at=length))
    seen = (*end.seen, past(end.place, event))
    return _with(world, name, End(follows, seen=seen))


def _deaths(world: World, name: str) -> Iterator[Step]:
    end: End = getattr(world, name)
    dead = _with(world, name, replace(end, life=Life.DEAD))
    if name == "receiver":
        yield Step("receiver dies", dead)
        return
    resumes = world.guard is Guard.THERE and world.source is Source.SUSPENDED
    yield Step("sender dies", replace(dead, source=Source.RUNNING) if resumes else dead)
    if world.source is not Source.DESTROYED:
        lost = _with(world, name, replace(end, life=Life.LOST))
        yield Step("sender dies with its host", replace(lost, source=Source.LOST))


def _silences(world: World) -> Iterator[Step]:
    """At any moment until it has let go: for all that is known then, it is stopped."""
    waits = world.guard is Guard.THERE and world.source is Source.SUSPENDED
    if waits and world.sender.life is Life.ALIVE:
        after = replace(world, source=Source.RUNNING, guard=Guard.ACTED)
        yield Step("sender is stopped, its helper lets the guest run", after)


def _cuts(world: World, name: str) -> Iterator[Step]:
    way: Way = getattr(world, name)
    if not way.intact:
        return
    for kept in range(len(way.texts) + 1):
        words = f"the connection {name.replace('_', ' ')} is cut"
        if kept < len(way.texts):
            words += f", {NAMES[way.texts[kept]]} is lost"
        yield Step(words, _with(world, name, Way(way.texts[:kept], intact=False)))


def _with(world: World, name: str, value: End | Way) -> World:
    changes: dict[str, Any] = {name: value}
    return replace(world, **changes)


@dataclass(frozen=True)
class Explored:
    """Each world that a pair can get into."""

    pair: Pair
    #: World -> what happened last on a shortest way to it, and the world before.
    came: Mapping[World, tuple[str, World] | None]

    def trace(self, world: World) -> str:
        """How it came to this, a line a step."""
        lines = [f"-> {world}"]
        last = self.came[world]
        while last is not None:
            words, before = last
            lines.append(words)
            last = self.came[before]
        return "\n".join(reversed(lines))

    def ended(self) -> Iterator[World]:
        """The worlds in which nothing is left to be done."""
        for world in self.came:
            ends = (world.sender, world.receiver)
            busy = any(goes_on(self.pair, end) for end in ends)
            if not busy and not recovers(world):
                yield world


def explore(pair: Pair, most: int | None = None) -> Explored:
    """Find every world that a pair can get into.

    Args:
        pair: The two ends.
        most: So many faults at most; None for any number, uncounted.
    """
    first = World(guard=Guard.THERE if pair.guarded else Guard.LET_GO)
    if pair.protects:
        first = replace(
            first,
            sender=End(Sending.COPY),
            receiver=End(Holding.HELD),
            copy=Copy.PAUSED,
        )
    came: dict[World, tuple[str, World] | None] = {first: None}
    queue = deque([first])
    while queue:
        world = queue.popleft()
        for words, after, good in steps(pair, world):
            if most is not None and not good:
                if world.faults == most:
                    continue
                after = replace(after, faults=world.faults + 1)
            if after not in came:
                came[after] = (words, world)
                queue.append(after)
    return Explored(pair, came)
