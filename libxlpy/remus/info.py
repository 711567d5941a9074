"""What is wanted of a protection; Xen: ``libxl_domain_remus_info``."""

from libxlpy.errors import UsageError
from libxlpy_protocol.fields import brief
from libxlpy_protocol.value import Value


class RemusInfo(Value):
    """What is wanted of checkpoints; Xen: ``libxl_domain_remus_info``."""

    #: Milliseconds between two checkpoints.
    interval: int
    #: COLO instead of Remus; as with libxl there is no default.
    colo: bool | None = None
    #: The next four may only be off if this is on.
    allow_unsafe: bool = False
    #: Send to nobody.
    blackhole: bool = False
    #: Hold back what the guest sends until its checkpoint is complete.
    netbuf: bool = True
    #: Same for its disks.
    diskbuf: bool = True

    @property
    def seconds(self) -> float:
        """The interval."""
        return self.interval / 1000


def checked(info: object) -> RemusInfo:
    """Refuse what libxl refuses.

    Raises:
        UsageError: It is one of these.
    """
    if not isinstance(info, RemusInfo):
        raise UsageError(f"info must be a RemusInfo: {brief(info)}")
    if type(info.interval) is not int or info.interval < 1:
        raise UsageError(f"interval {brief(info.interval)}: milliseconds from 1 on")
    if info.colo not in (None, False):
        raise UsageError(f"colo {brief(info.colo)}: there is no COLO here")
    if info.blackhole:
        raise UsageError("blackhole: a copy that nobody holds protects from nothing")
    if not info.allow_unsafe and not (info.netbuf and info.diskbuf):
        raise UsageError("no netbuf or no diskbuf is unsafe: needs allow_unsafe")
    return info
