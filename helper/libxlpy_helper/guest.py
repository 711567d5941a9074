"""The domain that a save is about: known by its uuid, for domids are used again."""

from libxlpy_helper.domain_ops import find, is_another, is_dying, is_suspended
from libxlpy_helper.xen.xenguest import DomainInfo, Handle
from libxlpy_protocol.enums import Op


class ReplacedError(Exception):
    """The guest has ended, and its domid is another domain's: not to be touched."""

    def __init__(self, domid: int) -> None:
        super().__init__(f"domain {domid} is another domain now: left alone")


class Guest:
    """One domain, from the start of the save on."""

    def __init__(self, handle: Handle, domid: int, uuid: bytes = b"") -> None:
        """Look at it.

        Args:
            handle: Of the calling thread.
            domid: Its number.
            uuid: What the parent has found; else whoever has the domid now is meant.
        """
        self._handle = handle
        self._domid = domid
        self._uuid = uuid
        self._was_there = False
        #: It was so before anybody was asked by us: then it is not ours to resume.
        self.was_suspended = False
        #: Pauses that were taken off it, for it to suspend.
        self.lifted = 0
        try:
            info = self.info()
        except OSError:
            return  # the operation itself will meet it
        if info is not None:
            self._was_there = True
            self._uuid = info.uuid
            self.was_suspended = is_suspended(info)

    def info(self) -> DomainInfo | None:
        """Return what the hypervisor says of it now; None: it is gone.

        Raises:
            OSError: The hypervisor refused.
        """
        info = find(self._handle, self._domid)
        return None if self._uuid and is_another(info, self._uuid) else info

    def noted(self, op: Op) -> None:
        """Take note of what was done to it for the parent."""
        if op is Op.UNPAUSE:
            self.lifted += 1
        elif op is Op.PAUSE and self.lifted:
            self.lifted -= 1

    def pause_again(self) -> None:
        """Put the pauses back; it may be suspended, or not.

        Raises:
            OSError: The hypervisor refused.
        """
        while self.lifted:
            result = self._handle.pause(self._domid)
            if result.retval:
                raise OSError(result.errnoval, "refused by the hypervisor")
            self.lifted -= 1

    def is_suspended(self) -> bool:
        """Tell whether it is seen to be so."""
        try:
            info = self.info()
        except OSError:
            return False  # nobody knows
        return info is not None and is_suspended(info)

    def check(self) -> None:
        """Pass only if the domid is no other domain's, as far as one can know.

        Raises:
            ReplacedError: It is.
        """
        if self.is_replaced():
            raise ReplacedError(self._domid)

    def is_replaced(self) -> bool:
        """Tell whether another domain has its domid."""
        try:
            info = find(self._handle, self._domid)
        except OSError:
            return False  # nobody knows
        return bool(self._uuid) and is_another(info, self._uuid)

    def has_ended(self) -> bool:
        """Tell whether it is gone, or going, or another domain has its domid."""
        try:
            info = self.info()
        except OSError:
            return False  # nobody knows
        if info is None:
            return self._was_there or self.is_replaced()
        return is_dying(info)
