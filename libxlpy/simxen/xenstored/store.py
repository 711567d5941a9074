"""The store: main tree, introduced domains, and telling clients what changed."""

import contextlib
import itertools
from collections.abc import Iterable

from libxlpy.simxen.xenstored.tree import (
    Access,
    Node,
    Permission,
    Tree,
    XenstoreError,
)
from libxlpy.simxen.xenstored.watches import Change, WatchList

_DOM0_ONLY = (Permission(Access.NONE, 0),)


class Store:
    """What all connections share."""

    def __init__(self) -> None:
        self._generations = itertools.count(1)
        root = Node(b"", _DOM0_ONLY, (), self.next_generation())
        self.tree = Tree({"/": root}, self.next_generation)
        self._clients: dict[WatchList, int] = {}
        # Domains that were introduced -> "its end or shutdown has been told".
        self._domains: dict[int, bool] = {}

    def next_generation(self) -> int:
        """Give a number that no write had before."""
        return next(self._generations)

    def attach(self, watches: WatchList, domid: int) -> None:
        """Let a client hear of changes."""
        self._clients[watches] = domid

    def detach(self, watches: WatchList) -> None:
        """Forget a client."""
        self._clients.pop(watches, None)

    def fire(self, changes: Iterable[Change]) -> None:
        """Tell every client that may know; removed nodes are judged by what is above.

        Source: Xen XSA-115: no event for a node that the watcher may not read.
        """
        for change in changes:
            for watches, domid in tuple(self._clients.items()):
                if self._may_know(change, domid):
                    watches.fire(change)

    def _may_know(self, change: Change, domid: int) -> bool:
        if change.path.startswith("@"):
            return domid == 0
        return Access.READ in self.tree.access(change.path, domid)

    # ------------------------------------------------------- life of domains

    def introduce(self, domid: int) -> None:
        """Make a domain known; tells ``@introduceDomain``."""
        if domid not in self._domains:
            self._domains[domid] = False
            self.fire([Change("@introduceDomain")])

    def is_introduced(self, domid: int) -> bool:
        """Say whether a domain is known (dom0 always is)."""
        return domid == 0 or domid in self._domains

    def domain_shut_down(self, domid: int) -> None:
        """Tell ``@releaseDomain`` of a shutdown, once until ``resume``.

        Source: Xen, tools/xenstored/domain.c, domain_cleanup().
        """
        if self._domains.get(domid) is False:
            self._domains[domid] = True
            self.fire([Change("@releaseDomain")])

    def resume(self, domid: int) -> None:
        """Let the next shutdown of a domain be told again.

        Raises:
            XenstoreError: ENOENT, not introduced.
        """
        if domid not in self._domains:
            raise XenstoreError("ENOENT")
        self._domains[domid] = False

    def release(self, domid: int) -> None:
        """Forget a domain; tells ``@releaseDomain``.

        Raises:
            XenstoreError: ENOENT, not introduced.
        """
        if self._domains.pop(domid, None) is None:
            raise XenstoreError("ENOENT")
        self.fire([Change("@releaseDomain")])

    # ------------------------------------------- the host's own reads and writes

    def put(
        self, path: str, value: str = "", permissions: Iterable[str] | None = None
    ) -> None:
        """Write a node as dom0, with permissions if given, and tell watchers."""
        self.tree.write(path, value.encode(), 0)
        if permissions is not None:
            entries = tuple(Permission.parse(text) for text in permissions)
            self.tree.set_permissions(path, entries, 0)
        self.fire([Change(path)])

    def text(self, path: str) -> str:
        """Give a node's value, "" if there is no such node."""
        node = self.tree.nodes.get(path)
        return "" if node is None else node.value.decode(errors="replace")

    def remove(self, path: str) -> None:
        """Remove a node, if there, as dom0, and tell watchers."""
        with contextlib.suppress(XenstoreError):
            self.fire(removal_changes(self.tree.remove(path, 0)))


def removal_changes(removed: list[str]) -> list[Change]:
    """Give the changes that a removal means: the node's own, and exact ones below."""
    return [Change(path, exact=bool(n)) for n, path in enumerate(removed)]
