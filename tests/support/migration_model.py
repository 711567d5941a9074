"""A model of a migration's two ends: what they are and do, and all that is at a moment.

A guest that has moved and dies with its new host is no concern of it.
"""

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from libxlpy_protocol.migration.handshake import (
    RECEIVER,
    SENDER,
    Event,
    Receiving,
    Sending,
    Word,
)
from libxlpy_protocol.migration.protection import BACKUP, Holding
from libxlpy_protocol.migration.xl import GO, READY, RECEIVED, TEXTS

Place: TypeAlias = Sending | Receiving | Holding

HEADER: Final = b"header and configuration"
STREAM: Final = b"stream"
IT_RUNS: Final = TEXTS[Word.RUNS]
IT_DOES_NOT: Final = TEXTS[Word.DOES_NOT_RUN]
#: Of our own handshake.
ACCEPT: Final = b"accept"
GIVEN_UP: Final = b"given up"
HAND_OVER: Final = b"hand over"

#: What a trace calls them.
NAMES: Final = {
    READY: "READY",
    HEADER: "the header",
    STREAM: "the stream",
    RECEIVED: "RECEIVED",
    GO: "GO",
    IT_RUNS: "REPORT (it runs)",
    IT_DOES_NOT: "REPORT (it does not)",
    ACCEPT: "ACCEPT",
    GIVEN_UP: "GIVEN_UP",
    HAND_OVER: "HAND_OVER",
}


class Source(enum.Enum):
    """The guest at the sender."""

    RUNNING = "running"
    SUSPENDED = "suspended"
    DESTROYED = "destroyed"
    #: Gone with its host.
    LOST = "lost"


class Copy(enum.Enum):
    """The guest at the receiver, once it is whole."""

    NONE = "not there"
    PAUSED = "paused"
    RUNNING = "running"


class Life(enum.Enum):
    """Whether an end goes on."""

    ALIVE = "alive"
    DEAD = "dead"
    #: Its host is gone, too.
    LOST = "lost"


class Journal(enum.Enum):
    """What the sender's journal knows."""

    NOTHING = "nothing"
    #: The guest may run elsewhere: recovery leaves it as it is, and says so.
    GO = "go"
    #: It runs elsewhere: recovery destroys what is left.
    MOVED = "moved"


class Guard(enum.Enum):
    """The sender's helper, once the guest is suspended."""

    #: Lets it run should the sender die, or be silent.
    THERE = "there"
    #: Never touches it again; or there never was one.
    LET_GO = "let go"
    #: Has let it run.
    ACTED = "acted"


class Deed(enum.Enum):
    """An act that is no text: what it does, in the words of a trace."""

    SUSPEND = "suspends the guest"
    RENAME = "renames"
    LOOK = "sees that the guest is suspended"
    JOURNAL_GO = "writes 'go' to the journal"
    #: And has its answer: fails if it has let the guest run.
    DISARM = "hears that its helper leaves the guest suspended"
    #: Without an answer.
    TELL_GUARD = "tells its helper to leave the guest suspended"
    JOURNAL_MOVED = "writes 'moved' to the journal"
    DESTROY = "destroys the guest"
    RESUME = "lets its own guest run"
    BUILD = "completes the copy, paused"
    UNPAUSE = "lets the copy run"
    REMOVE = "destroys the copy"
    #: See `tests.support.migration_walk`: what it says depends on the guest.
    FENCE = "asks whether the primary is gone"


EFFECTS: Final[Mapping[Deed, Mapping[str, Any]]] = {
    Deed.SUSPEND: {"source": Source.SUSPENDED},
    Deed.RENAME: {},
    Deed.LOOK: {},
    Deed.JOURNAL_GO: {"journal": Journal.GO},
    Deed.DISARM: {"guard": Guard.LET_GO},
    Deed.TELL_GUARD: {"guard": Guard.LET_GO},
    Deed.JOURNAL_MOVED: {"journal": Journal.MOVED},
    Deed.DESTROY: {"source": Source.DESTROYED},
    Deed.RESUME: {"source": Source.RUNNING},
    Deed.BUILD: {"copy": Copy.PAUSED},
    Deed.UNPAUSE: {"copy": Copy.RUNNING},
    Deed.REMOVE: {"copy": Copy.NONE},
    Deed.FENCE: {},
}


@dataclass(frozen=True, slots=True)
class Say:
    """An act: write a text."""

    text: bytes


@dataclass(frozen=True, slots=True)
class Hear:
    """An act: wait for a text, and what each that may come means."""

    done: bytes
    refused: bytes | None = None

    def event(self, text: bytes) -> Event:
        """What it means to have read it."""
        if text == self.done:
            return Event.DONE
        return Event.REFUSED if text == self.refused else Event.FAILED


Act: TypeAlias = Deed | Say | Hear

#: What an end does in a state, in this order; its last act done, the state is.
ACTS: Final[Mapping[Place, tuple[Act, ...]]] = {
    Sending.READY: (Hear(READY),),
    Sending.COPY: (Say(HEADER), Deed.SUSPEND, Say(STREAM)),
    Sending.RECEIVED: (Hear(RECEIVED),),
    Sending.NAME: (Deed.RENAME,),
    Sending.GO: (Deed.LOOK, Deed.JOURNAL_GO, Deed.DISARM, Say(GO)),
    Sending.REPORT: (Hear(IT_RUNS, refused=IT_DOES_NOT),),
    Sending.PERMISSION: (Hear(GO),),
    Sending.MOVED: (Deed.JOURNAL_MOVED, Deed.DESTROY),
    Sending.STAYS: (Deed.RESUME,),
    Sending.OPEN: (),
    Receiving.CONFIG: (Say(READY), Hear(HEADER)),
    Receiving.BUILD: (Hear(STREAM), Deed.BUILD),
    Receiving.RECEIVED: (Say(RECEIVED),),
    Receiving.GO: (Hear(GO),),
    Receiving.DECLINE: (Say(IT_DOES_NOT), Say(GO)),
    Receiving.START: (Deed.UNPAUSE,),
    Receiving.REPORT: (Say(IT_RUNS),),
    Receiving.REFUSAL: (Say(IT_DOES_NOT),),
    Receiving.REMOVE: (Deed.REMOVE,),
    Receiving.PERMISSION: (Say(GO),),
    Receiving.WITHDRAW: (Deed.REMOVE,),
    Receiving.RUNS: (),
    Receiving.NOTHING: (),
    Receiving.OPEN: (),
    Receiving.DOUBT: (),
}

#: The same in our own handshake, whose texts have a connection of their own: one that
#: is cut alone is a text that is not said, or not read, behind a stream that arrives.
OWN_ACTS: Final[Mapping[Place, tuple[Act, ...]]] = {
    **ACTS,
    Sending.READY: (Hear(READY), Say(HEADER), Hear(ACCEPT)),
    Sending.COPY: (Deed.SUSPEND, Say(STREAM)),
    Sending.STAYS: (Deed.RESUME, Say(GIVEN_UP)),
    Receiving.CONFIG: (Say(READY), Hear(HEADER), Say(ACCEPT)),
    Receiving.GO: (Hear(GO, refused=GIVEN_UP),),
    # GO may still have been on its way.
    Receiving.DECLINE: (
        *ACTS[Receiving.DECLINE],
        Hear(GO, refused=GIVEN_UP),
        Hear(GO, refused=GIVEN_UP),
    ),
    Receiving.NOTHING: (Say(GIVEN_UP),),
}

#: What a backup does, which has an epoch, and its primary, which may end it any time.
PROTECTION_ACTS: Final[Mapping[Place, tuple[Act, ...]]] = {
    **OWN_ACTS,
    Sending.COPY: (Deed.SUSPEND, Say(HAND_OVER)),
    Holding.HELD: (Hear(HAND_OVER, refused=GIVEN_UP),),
    Holding.FENCE: (Deed.FENCE,),
    Holding.TAKE_OVER: (Deed.UNPAUSE,),
}

#: Where FAILED must mean that the state's last act has had no effect. Whoever can't
#: tell must find out, or undo it, before it says FAILED.
CERTAIN: Final[frozenset[Place]] = frozenset(
    {
        Sending.GO,
        Receiving.BUILD,
        Receiving.RECEIVED,
        Receiving.START,
        Receiving.REMOVE,
        Receiving.WITHDRAW,
        Holding.TAKE_OVER,
    }
)


@dataclass(frozen=True)
class Pair:
    """A sender and a receiver, as they are built."""

    sender: Mapping[Sending, Mapping[Event, Sending]] = field(
        default_factory=lambda: SENDER
    )
    receiver: Mapping[Any, Mapping[Event, Any]] = field(
        default_factory=lambda: RECEIVER
    )
    acts: Mapping[Place, tuple[Act, ...]] = field(default_factory=lambda: ACTS)
    certain: frozenset[Place] = CERTAIN
    #: The sender's helper lets the guest run again if its parent dies, or is silent.
    guarded: bool = True
    #: A guest that is protected, and its backup: they begin with an epoch that is held.
    protects: bool = False

    def follows(self, place: Place, event: Event) -> Place | None:
        """What comes next; None after an end."""
        if isinstance(place, Sending):
            row: Mapping[Event, Place] | None = self.sender.get(place)
        else:
            row = self.receiver.get(place)
        return None if row is None else row.get(event)


def protection() -> Pair:
    """Give a primary and its backup, as they are built."""
    return Pair(receiver=BACKUP, acts=PROTECTION_ACTS, protects=True)


def past(place: Place, event: Event) -> str:
    """How a state has ended, as a text: fast to hash and to compare."""
    return f"{type(place).__name__} {place.name} {event.value}"


@dataclass(frozen=True, slots=True)
class End:
    """One of the two: where it is, and what it has been through."""

    place: Place
    #: Index of the act it is at.
    at: int = 0
    life: Life = Life.ALIVE
    #: Each `past`: all that it can know of the other end is in here.
    seen: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Way:
    """A direction of the connection."""

    texts: tuple[bytes, ...] = ()
    intact: bool = True


@dataclass(frozen=True)
class World:
    """All that is at one moment."""

    sender: End = End(Sending.READY)
    receiver: End = End(Receiving.CONFIG)
    source: Source = Source.RUNNING
    copy: Copy = Copy.NONE
    to_receiver: Way = Way()
    to_sender: Way = Way()
    guard: Guard = Guard.THERE
    journal: Journal = Journal.NOTHING
    #: The sender has reported that destroying its guest, or letting it run, failed.
    reported: bool = False
    #: How many led here, where they are counted.
    faults: int = 0

    def __str__(self) -> str:
        ends = (("sender", self.sender), ("receiver", self.receiver))
        words = [f"{name} {end.life.value} in {end.place.name}" for name, end in ends]
        words += [f"guest {self.source.value}", f"copy {self.copy.value}"]
        return ", ".join([*words, f"journal: {self.journal.value}"])
