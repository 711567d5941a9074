"""What the helper's exit status says; anything else is a crash."""

import enum


class ExitStatus(enum.IntEnum):
    """Status of a helper that ended by itself."""

    #: Complete was delivered, or (mode OPS) the parent closed the pipe.
    OK = 0
    #: Our own bug; the traceback is on stderr.
    BUG = 1
    #: Not started the way libxlpy does; the reason is on stderr.
    USAGE = 2
    #: No usable libxenguest; the reason is on stderr.
    NO_LIBRARY = 3
    #: xc_interface_open failed: not dom0, no permission, no simxen host.
    NO_HYPERVISOR = 4
    #: The parent broke the protocol; the operation was aborted and repaired.
    PROTOCOL_ERROR = 5
    #: The parent is gone; the operation was aborted and repaired.
    PARENT_LOST = 6
    #: Told to stop by a signal before there was anything to do.
    STOPPED = 7
    #: The domain to destroy has gone, its domid is another domain's.
    ANOTHER_DOMAIN = 8
    #: The parent was silent while the guest was suspended; else as PARENT_LOST.
    PARENT_SILENT = 9
