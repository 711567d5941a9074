"""What either end of a migration does next, as tables: for xl's handshake and ours.

A state names what an end is doing; how that ends leads to the next one. Silence for too
long, the end of the connection and other words than those awaited are one thing:
FAILED. A state that is no key of its table is an end.

What holds, whatever is lost or dies (``tests/unit/protocol/test_migration_model.py``):
the sender gives its guest away only once the receiver has said that its copy runs; the
receiver lets its copy run only once the sender has said that it may; and the sender
leaves its guest suspended only while that copy may be running.

The words that are said are in ``xl`` and ``own``. xl's own tables (Xen,
tools/xl/xl_migrate.c) differ where its guest ends up in no place, or in two.
"""

import enum
from collections.abc import Mapping
from typing import Final


class Word(enum.Enum):
    """What is said once the copy is whole."""

    #: Receiver: has a whole copy, paused.
    RECEIVED = "received"
    #: Sender: the copy may run.
    GO = "go"
    #: Receiver: the copy runs.
    RUNS = "it runs"
    #: Receiver: it does not, and never will.
    DOES_NOT_RUN = "it does not run"
    #: Receiver: the sender's own guest may run.
    PERMISSION = "permission"
    #: Either, before GO: has given up, and goes on with what it has, or with nothing.
    #: Not in xl's handshake.
    GIVEN_UP = "given up"
    #: Primary: what the backup holds is the guest's last epoch here.
    HAND_OVER = "hand over"


class Event(enum.Enum):
    """How what an end was doing has ended."""

    DONE = "done"
    #: The other end says that it is not to be: the report, that the copy does not run;
    #: the sender, that it goes on with its own guest.
    REFUSED = "refused"
    FAILED = "failed"
    #: Nobody can tell whether it is done.
    UNSURE = "unsure"


class Sending(enum.Enum):
    """What the sender is doing."""

    #: Waits for READY.
    READY = "ready"
    #: Sends header, configuration and stream; the guest is suspended at its end.
    COPY = "copy"
    #: Waits for RECEIVED.
    RECEIVED = "received"
    #: Gives the guest's name away.
    NAME = "name"
    #: Has its guard's word that it leaves the guest suspended, and says GO; FAILED: not
    #: one byte of it has left.
    GO = "go"
    #: Waits for REPORT.
    REPORT = "report"
    #: Waits for the permission to go on with its own guest.
    PERMISSION = "permission"
    # ----- ends -----
    #: The guest runs at the receiver: ours is destroyed.
    MOVED = "moved"
    #: The guest is ours: it runs on.
    STAYS = "stays"
    #: Nobody knows: ours stays suspended.
    OPEN = "open"


class Receiving(enum.Enum):
    """What the receiver is doing."""

    #: Says READY; waits for header and configuration.
    CONFIG = "config"
    #: Builds the domain, paused, from the stream.
    BUILD = "build"
    #: Says RECEIVED; FAILED: the whole of it has not left.
    RECEIVED = "received"
    #: Waits for GO.
    GO = "go"
    #: Says that the copy does not run, gives the sender permission, and keeps the copy,
    #: unless the sender then says that it goes on with its own.
    DECLINE = "decline"
    #: Lets the copy run; FAILED: it is known to be paused.
    START = "start"
    #: Says that it runs.
    REPORT = "report"
    #: Says that it does not.
    REFUSAL = "refusal"
    #: Destroys the copy, and gives the sender permission.
    REMOVE = "remove"
    PERMISSION = "permission"
    #: Destroys a copy that the sender was never told of, or goes on without.
    WITHDRAW = "withdraw"
    # ----- ends -----
    #: The copy runs.
    RUNS = "runs"
    #: There is no copy.
    NOTHING = "nothing"
    #: A whole copy is left, paused, and may be the only one.
    OPEN = "open"
    #: A whole copy is left, and may run.
    DOUBT = "doubt"


SENDER: Final[Mapping[Sending, Mapping[Event, Sending]]] = {
    Sending.READY: {Event.DONE: Sending.COPY, Event.FAILED: Sending.STAYS},
    Sending.COPY: {Event.DONE: Sending.RECEIVED, Event.FAILED: Sending.STAYS},
    Sending.RECEIVED: {Event.DONE: Sending.NAME, Event.FAILED: Sending.STAYS},
    Sending.NAME: {Event.DONE: Sending.GO, Event.FAILED: Sending.STAYS},
    Sending.GO: {Event.DONE: Sending.REPORT, Event.FAILED: Sending.STAYS},
    Sending.REPORT: {
        Event.DONE: Sending.MOVED,
        Event.REFUSED: Sending.PERMISSION,
        Event.FAILED: Sending.OPEN,
    },
    # Whoever has said that the copy does not run will never let it run.
    Sending.PERMISSION: {Event.DONE: Sending.STAYS, Event.FAILED: Sending.STAYS},
}

RECEIVER: Final[Mapping[Receiving, Mapping[Event, Receiving]]] = {
    Receiving.CONFIG: {
        Event.DONE: Receiving.BUILD,
        Event.FAILED: Receiving.NOTHING,
    },
    Receiving.BUILD: {
        Event.DONE: Receiving.RECEIVED,
        Event.FAILED: Receiving.NOTHING,
    },
    Receiving.RECEIVED: {
        Event.DONE: Receiving.GO,
        Event.FAILED: Receiving.WITHDRAW,
    },
    # GO may be lost, or late: then the sender waits for a word. Or the sender's host is
    # gone: then this copy is the guest.
    Receiving.GO: {
        Event.DONE: Receiving.START,
        Event.REFUSED: Receiving.WITHDRAW,
        Event.FAILED: Receiving.DECLINE,
    },
    Receiving.DECLINE: {
        Event.DONE: Receiving.OPEN,
        Event.REFUSED: Receiving.WITHDRAW,
        Event.FAILED: Receiving.OPEN,
    },
    Receiving.START: {
        Event.DONE: Receiving.REPORT,
        Event.FAILED: Receiving.REFUSAL,
        Event.UNSURE: Receiving.DOUBT,
    },
    Receiving.REPORT: {Event.DONE: Receiving.RUNS, Event.FAILED: Receiving.RUNS},
    Receiving.REFUSAL: {
        Event.DONE: Receiving.REMOVE,
        Event.FAILED: Receiving.OPEN,
    },
    Receiving.REMOVE: {
        Event.DONE: Receiving.PERMISSION,
        Event.FAILED: Receiving.OPEN,
    },
    Receiving.PERMISSION: {
        Event.DONE: Receiving.NOTHING,
        Event.FAILED: Receiving.NOTHING,
    },
    Receiving.WITHDRAW: {
        Event.DONE: Receiving.NOTHING,
        Event.FAILED: Receiving.OPEN,
    },
}
