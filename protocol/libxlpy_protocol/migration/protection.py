"""What the backup of a protected guest does next, as a table.

It holds epochs until something ends that: the primary hands over, or says that it goes
on with its own guest, or is not heard any more. Only a proof that the primary's guest
does not run, and will not, lets the copy run without the primary's word. The other
states are a receiver's, see ``handshake``; the primary is a sender whose copy takes
long.

What holds, whatever is lost or dies (``tests/unit/protocol/test_protection_model.py``):
two never run, and no copy is removed that may be all that is left of the guest.
"""

import enum
from collections.abc import Mapping
from typing import Final, TypeAlias

from libxlpy_protocol.migration.handshake import RECEIVER, Event, Receiving


class Holding(enum.Enum):
    """What the backup is doing, while it is none of a receiver's states."""

    #: Has a whole copy, paused. DONE: handed over; REFUSED: the primary goes on with
    #: its own guest; FAILED: it is not heard any more.
    HELD = "held"
    #: Asks whether the primary is gone. DONE: it is; REFUSED: its guest runs; FAILED:
    #: nobody knows.
    FENCE = "fence"
    #: Lets the copy run; FAILED: it is known to be paused.
    TAKE_OVER = "take over"


State: TypeAlias = Receiving | Holding

BACKUP: Final[Mapping[State, Mapping[Event, State]]] = {
    **dict[State, Mapping[Event, State]](RECEIVER.items()),
    Holding.HELD: {
        Event.DONE: Receiving.RECEIVED,
        Event.REFUSED: Receiving.WITHDRAW,
        Event.FAILED: Holding.FENCE,
    },
    Holding.FENCE: {
        Event.DONE: Holding.TAKE_OVER,
        Event.REFUSED: Receiving.WITHDRAW,
        Event.FAILED: Receiving.OPEN,
    },
    # There is nobody to tell, and no other guest.
    Holding.TAKE_OVER: {
        Event.DONE: Receiving.RUNS,
        Event.FAILED: Receiving.OPEN,
        Event.UNSURE: Receiving.DOUBT,
    },
    # A receiver's copy is nothing without its sender's word; a backup's may be all.
    Receiving.RECEIVED: {
        Event.DONE: Receiving.GO,
        Event.FAILED: Holding.FENCE,
    },
    Receiving.DECLINE: {
        Event.DONE: Holding.FENCE,
        Event.REFUSED: Receiving.WITHDRAW,
        Event.FAILED: Holding.FENCE,
    },
}
