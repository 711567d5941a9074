"""The fixed words of the protocol, as numbers on the wire."""

from __future__ import annotations

import enum

__all__ = [
    "Flow",
    "Image",
    "Mode",
    "OnParentLoss",
    "Op",
    "Side",
    "StreamType",
    "XcFlags",
]


class Side(enum.Flag):
    """Who sends a message."""

    HELPER = 1
    PARENT = 2
    BOTH = HELPER | PARENT

    __hash__ = object.__hash__  # each is one object; enum's own is Python

    @property
    def peer(self) -> Side:
        """The other side of one side."""
        return Side.BOTH & ~self


class Flow(enum.Enum):
    """What a message wants from the peer."""

    #: First frame of each side.
    HELLO = "hello"
    #: Tells the helper its one job.
    START = "start"
    #: No reply.
    NOTICE = "notice"
    #: The helper asks; the peer must answer with the same call id.
    CALL = "call"
    #: The reply to a call.
    ANSWER = "answer"
    #: The parent asks the helper's control thread.
    OP = "op"
    #: The reply to an op.
    OP_RESULT = "op result"


class Mode(enum.IntEnum):
    """The one job of a helper process."""

    SAVE = 1
    RESTORE = 2
    #: Save, with checkpoints until failover or stop.
    REMUS = 3
    #: Domain ops only; ends when the parent closes the pipe.
    OPS = 4


class Image(enum.IntEnum):
    """What the helper writes to, or reads from, the stream fd."""

    #: The libxc stream only.
    RAW = 0
    #: The libxl stream, version 2, around it.
    LIBXL = 1


class StreamType(enum.IntEnum):
    """Xen: enum of ``xc_stream_type_t``."""

    PLAIN = 0
    REMUS = 1


class OnParentLoss(enum.IntEnum):
    """What a helper does when its parent is gone."""

    ABORT_AND_RESUME = 0
    FINISH = 1
    #: As the first, also once a whole stream went into a pipe: its reader is one that
    #: lets no guest run before it is told to.
    RESUME_UNLESS_RELEASED = 2


class Op(enum.IntEnum):
    """What ``DomainOp`` asks for."""

    INFO = 1
    #: The first domain whose domid is ``argument`` or more.
    LIST = 2
    PAUSE = 3
    UNPAUSE = 4
    #: ``argument`` is the shutdown reason.
    SHUTDOWN = 5
    #: ``argument`` 1 = the suspend call returns "cancelled" to the guest.
    RESUME = 6
    LOGDIRTY_OFF = 7
    DESTROY = 8
    #: What the hypervisor can do: ``XEN_SYSCTL_PHYSCAP_*`` bits, the only value.
    CAPABILITIES = 9
    #: One of ``HVM_PARAM_*``, by its number in ``argument``: the only value.
    HVM_PARAM = 10
    #: Pages that no domain has, and how many of them are claimed for one; and whether
    #: Xen was told at its boot how many dom0 is to have.
    MEMORY = 11
    #: What a guest writes within ``argument`` ms, a second at most: log-dirty mode goes
    #: on, and off again whatever happens to the parent.
    WRITES = 12


class XcFlags(enum.IntFlag):
    """Xen: ``XCFLAGS_*`` of ``xc_domain_save``."""

    LIVE = 1
    DEBUG = 2
