"""What a guest that migrates is down for, part by part."""

from collections.abc import Iterable
from typing import Final

#: Phase of the sender's job -> the part that it begins. What follows, and is not among
#: these, belongs to the same part.
PARTS: Final = {
    #: Asked, until it is seen suspended: it may run for most of it.
    "suspend": "guest",
    #: Stopped, and its state saved to a file.
    "device model": "device_model",
    #: The last pages are sent.
    "suspended": "pages",
    #: The device model's state is sent.
    "emulator": "device_state",
    #: The end of the stream is sent.
    "end": "end",
    #: The target has all of it, until it says that its copy is whole.
    "complete": "target",
    #: Names, the journal, GO.
    "name": "hand_over",
    #: GO, until the target says that its copy runs.
    "report": "start",
}
MOVED: Final = "moved"


def downtime_parts(timeline: Iterable[tuple[str, float]]) -> dict[str, float]:
    """Give the parts of a migration's downtime.

    Args:
        timeline: (phase, seconds since the start of the job) in order, of a sender.

    Returns:
        Part -> milliseconds, in order of execution.
    """
    parts: dict[str, float] = {}
    part, since = "", 0.0
    for phase, at in timeline:
        if phase not in PARTS and phase != MOVED:
            continue
        if part:
            parts[part] = parts.get(part, 0.0) + (at - since) * 1e3
        if phase == MOVED:
            break
        part, since = PARTS[phase], at
    return parts
