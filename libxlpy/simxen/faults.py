"""How a domain can be told to misbehave, and where each fault shows.

A guest may never answer, or die while it suspends; a device model may hang, lie, or be
gone; the host's xenstored may be silent, restart, or be gone. Each is what Xen's own
stack has to cope with.
"""

import enum

from libxlpy.simxen.errors import SimxenError
from libxlpy_protocol.value import Value
from libxlpy_protocol.xen import SHUTDOWN_CRASH, SHUTDOWN_POWEROFF, SHUTDOWN_REBOOT

#: What a fault at the suspend request shuts a guest down with.
FAULT_REASONS = {
    "crash": SHUTDOWN_CRASH,
    "reboot": SHUTDOWN_REBOOT,
    "poweroff": SHUTDOWN_POWEROFF,
}


class Place(enum.Enum):
    """Where a fault shows."""

    AGENT = "the guest, when it is asked to suspend"
    QMP = "the device model, at a command"


#: Fault -> where it shows.
FAULTS: dict[str, Place] = {
    "never_ack": Place.AGENT,
    "slow_ack": Place.AGENT,
    "slow_suspend": Place.AGENT,
    "never_suspend": Place.AGENT,
    "crash": Place.AGENT,
    "reboot": Place.AGENT,
    "poweroff": Place.AGENT,
    "qmp_silent": Place.QMP,
    "qmp_garbage": Place.QMP,
    "qmp_die": Place.QMP,
    "qmp_error": Place.QMP,
}

#: What the host's xenstored can be told to do, and what that is.
XENSTORED_FAULTS: dict[str, str] = {
    "silent": "take requests, answer none",
    "drop": "end all connections; new ones are taken",
    "restart": "end all connections and the socket, and come back at once",
    "die": "as restart, and not come back",
}

#: Seconds that ``slow_ack`` and ``slow_suspend`` wait unless told otherwise.
SLOW = 2.0


class Fault(Value):
    """One fault as it was asked for.

    Args:
        name: Key of ``FAULTS``.
        once: Gone after it has shown.
        seconds: How slow ``slow_ack`` and ``slow_suspend`` are.
        command: The QMP command it shows at; empty for any but the negotiation.
    """

    name: str
    once: bool = False
    seconds: float = SLOW
    command: str = ""


class FaultPlan:
    """The fault a domain has now, if any."""

    def __init__(self) -> None:
        self.fault: Fault | None = None

    def set(self, fault: Fault | None) -> None:
        """Replace the fault; None behaves again.

        Raises:
            SimxenError: There is no such fault.
        """
        if fault is not None and fault.name not in FAULTS:
            known = ", ".join(FAULTS)
            raise SimxenError(f"unknown fault {fault.name!r}: use one of {known}")
        self.fault = fault

    def take(self, place: Place, command: str = "") -> Fault | None:
        """Give the fault that shows at a place now; a ``once`` fault is then gone."""
        fault = self.fault
        if fault is None or FAULTS[fault.name] is not place:
            return None
        if place is Place.QMP and not _hits(fault, command):
            return None
        if fault.once:
            self.fault = None
        return fault


def _hits(fault: Fault, command: str) -> bool:
    if fault.command:
        return fault.command == command
    return command not in ("greeting", "qmp_capabilities")
