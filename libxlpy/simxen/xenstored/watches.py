"""Who wants to know of which changes.

Source: Xen, tools/xenstored/watch.c, fire_watches().
"""

from collections.abc import Callable

from libxlpy.simxen.xenstored.tree import XenstoreError
from libxlpy_protocol.value import Value

#: Watches that a guest may have.
MAX_GUEST_WATCHES = 128


class Change(Value):
    """A path that changed.

    Args:
        path: Absolute, or a special one such as ``@releaseDomain``.
        exact: Tell only who watches this very path, not those above (used for what
            is below a removed node).
    """

    path: str
    exact: bool = False


class Watch(Value):
    """One client's interest in a path and all below it.

    Args:
        path: Absolute or special.
        prefix: What to cut from the front of paths in events: the domain's own path
            if the watch was set by a relative one, else empty.
        token: The client's own, given back in each event.
    """

    path: str
    prefix: str
    token: str

    def wants(self, change: Change) -> bool:
        """Say whether a change is at, or below, what is watched."""
        if change.path == self.path:
            return True
        if change.exact or self.path.startswith("@") or change.path.startswith("@"):
            return False
        return change.path.startswith(self.path.rstrip("/") + "/")

    def name(self, path: str) -> str:
        """Give a changed path as the client wants to read it."""
        return path.removeprefix(self.prefix)


class WatchList:
    """The watches of one client.

    Args:
        domid: Who it acts as.
        notify: Called with (path, token) for each event.
    """

    def __init__(self, domid: int, notify: Callable[[str, str], None]) -> None:
        self._domid = domid
        self._notify = notify
        self._watches: dict[tuple[str, str], Watch] = {}

    def add(self, watch: Watch) -> None:
        """Set a watch.

        Raises:
            XenstoreError: EEXIST, same path and token; E2BIG, a guest has too many.
        """
        key = (watch.path, watch.token)
        if key in self._watches:
            raise XenstoreError("EEXIST")
        if self._domid and len(self._watches) >= MAX_GUEST_WATCHES:
            raise XenstoreError("E2BIG")
        self._watches[key] = watch

    def remove(self, path: str, token: str) -> None:
        """Take a watch away.

        Raises:
            XenstoreError: ENOENT, there is no such watch.
        """
        if self._watches.pop((path, token), None) is None:
            raise XenstoreError("ENOENT")

    def clear(self) -> None:
        """Take all watches away."""
        self._watches.clear()

    def tell(self, watch: Watch, path: str) -> None:
        """Send one event."""
        self._notify(watch.name(path), watch.token)

    def fire(self, change: Change) -> None:
        """Send the events that a change causes."""
        for watch in tuple(self._watches.values()):
            if watch.wants(change):
                self.tell(watch, change.path)
