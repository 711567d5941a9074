"""Nodes, their permissions, and what each domain may do to them.

A tree is a flat mapping of absolute paths to nodes that never change: a write puts a
new node in place of the old one. A snapshot is therefore a copy of the mapping, and
"has this node changed since?" is an identity check (see ``transactions``).

Source: Xen, docs/misc/xenstore.txt; tools/xenstored/core.c.
"""

import enum
import re
from collections.abc import Callable

from libxlpy_protocol.value import Value

#: Bytes in an absolute path, and in one that is relative to a domain's own path.
MAX_ABSOLUTE_PATH = 3072
MAX_RELATIVE_PATH = 2048

#: What a guest may take: children of a node are bounded by the number of nodes.
MAX_GUEST_NODES = 1000
MAX_GUEST_VALUE = 2048

#: Paths that may be watched though they are not nodes.
SPECIAL_PATHS = frozenset({"@introduceDomain", "@releaseDomain"})

_PATH = re.compile(r"/(?:[A-Za-z0-9_@:.-]+(?:/[A-Za-z0-9_@:.-]+)*)?", re.ASCII)
_PERMISSION = re.compile(r"([nrwb])(0|[1-9][0-9]{0,4})", re.ASCII)


class XenstoreError(Exception):
    """A request fails with an error that the client gets as its reply.

    Args:
        name: Symbolic errno as it goes over the wire, such as ``ENOENT``.
    """

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name


class Access(enum.IntFlag):
    """What a permission letter allows."""

    NONE = 0
    READ = 1
    WRITE = 2
    BOTH = 3


_LETTERS = {
    "n": Access.NONE,
    "r": Access.READ,
    "w": Access.WRITE,
    "b": Access.BOTH,
}
_LETTER_OF = {access: letter for letter, access in _LETTERS.items()}


class Permission(Value):
    """One entry of a node's permissions; the first names owner and default."""

    access: Access
    domid: int

    def __str__(self) -> str:
        """Give the entry as on the wire, such as ``r3``."""
        return f"{_LETTER_OF[self.access]}{self.domid}"

    @classmethod
    def parse(cls, text: str) -> "Permission":
        """Read an entry such as ``b7``.

        Raises:
            XenstoreError: EINVAL, it is none.
        """
        match = _PERMISSION.fullmatch(text)
        if match is None:
            raise XenstoreError("EINVAL")
        return cls(_LETTERS[match[1]], int(match[2]))


class Node(Value):
    """One node as it is between two writes.

    Args:
        value: Up to 4 KiB.
        permissions: At least one entry.
        children: Names in order of creation.
        generation: Number of the write that made it; unique in a store.
    """

    value: bytes
    permissions: tuple[Permission, ...]
    children: tuple[str, ...]
    generation: int


def absolute(path: str, domid: int) -> str:
    """Give a path in its absolute form; a relative one is below the domain's own.

    Raises:
        XenstoreError: EINVAL, not a valid path.
    """
    if path in SPECIAL_PATHS:
        return path
    if not path.startswith("/"):
        if not path or path.startswith("@") or len(path) > MAX_RELATIVE_PATH:
            raise XenstoreError("EINVAL")
        path = f"/local/domain/{domid}/{path}"
    if len(path) > MAX_ABSOLUTE_PATH or not _PATH.fullmatch(path):
        raise XenstoreError("EINVAL")
    return path


def parent_of(path: str) -> str:
    """Give the path of the node above; the root is its own parent."""
    return path.rpartition("/")[0] or "/"


def _child_path(path: str, name: str) -> str:
    return f"{path.rstrip('/')}/{name}"


class Tree:
    """All nodes of a store, or of one transaction's view of it.

    Args:
        nodes: Absolute path to node; taken over.
        next_generation: Gives the number for the next write.
        touched: Called with each path that is looked at or changed.
    """

    def __init__(
        self,
        nodes: dict[str, Node],
        next_generation: Callable[[], int],
        touched: Callable[[str], None] = lambda path: None,
    ) -> None:
        self.nodes = nodes
        self._next_generation = next_generation
        self._touched = touched

    def access(self, path: str, domid: int) -> Access:
        """Give what a domain may do to a node, or to where it would be made.

        Source: Xen, tools/xenstored/core.c, perm_for_conn().
        """
        while path not in self.nodes and path != "/":
            path = parent_of(path)
        permissions = self.nodes[path].permissions
        if domid in (0, permissions[0].domid):
            return Access.BOTH
        for entry in permissions[1:]:
            if entry.domid == domid:
                return entry.access
        return permissions[0].access

    def get(self, path: str, domid: int, wanted: Access = Access.READ) -> Node:
        """Give a node that a domain may use in the wanted way.

        Raises:
            XenstoreError: EACCES, not allowed; ENOENT, no such node.
        """
        self._touched(path)
        if wanted not in self.access(path, domid):
            raise XenstoreError("EACCES")
        if path not in self.nodes:
            raise XenstoreError("ENOENT")
        return self.nodes[path]

    def write(self, path: str, value: bytes, domid: int) -> None:
        """Set a node's value; make the node, and those above it, where missing.

        Raises:
            XenstoreError: EACCES; ENOSPC, a guest's quota is used up.
        """
        if domid and len(value) > MAX_GUEST_VALUE:
            raise XenstoreError("ENOSPC")
        self.make(path, domid)
        self._put(path, value=value)

    def make(self, path: str, domid: int) -> bool:
        """Make a node without a value unless it exists.

        Returns:
            True if the node was made.

        Raises:
            XenstoreError: EACCES; ENOSPC, a guest's quota is used up.
        """
        self._touched(path)
        if Access.WRITE not in self.access(path, domid):
            raise XenstoreError("EACCES")
        missing = []
        while path not in self.nodes:
            missing.append(path)
            path = parent_of(path)
        if domid and missing:
            self._check_quota(domid, len(missing))
        for each in reversed(missing):
            self._add(each, domid)
        return bool(missing)

    def remove(self, path: str, domid: int) -> list[str]:
        """Remove a node and all below it.

        Returns:
            The removed paths, the given one first; none if only its parent exists.

        Raises:
            XenstoreError: EINVAL, the root; EACCES; ENOENT, no parent either.
        """
        if path == "/":
            raise XenstoreError("EINVAL")
        self._touched(path)
        if Access.WRITE not in self.access(path, domid):
            raise XenstoreError("EACCES")
        above = parent_of(path)
        if path not in self.nodes:
            self.get(above, 0)
            return []
        name = path.rpartition("/")[2]
        kept = tuple(child for child in self.nodes[above].children if child != name)
        self._put(above, children=kept)
        return self._drop(path)

    def set_permissions(
        self, path: str, permissions: tuple[Permission, ...], domid: int
    ) -> None:
        """Replace a node's permissions.

        Raises:
            XenstoreError: EACCES, not the owner; ENOENT; EPERM, a guest may not give
                its node away.
        """
        node = self.get(path, domid, Access.WRITE)
        owner = node.permissions[0].domid
        if domid not in (0, owner):
            raise XenstoreError("EACCES")
        if domid and permissions[0].domid != owner:
            raise XenstoreError("EPERM")
        self._put(path, permissions=permissions)

    # ---------------------------------------------------------------- private

    def _put(
        self,
        path: str,
        *,
        value: bytes | None = None,
        permissions: tuple[Permission, ...] | None = None,
        children: tuple[str, ...] | None = None,
    ) -> None:
        self._touched(path)
        old = self.nodes[path]
        self.nodes[path] = Node(
            old.value if value is None else value,
            old.permissions if permissions is None else permissions,
            old.children if children is None else children,
            self._next_generation(),
        )

    def _add(self, path: str, domid: int) -> None:
        """Make one node below an existing one; it inherits who may do what."""
        above, _, name = path.rpartition("/")
        above = above or "/"
        permissions = self.nodes[above].permissions
        if domid:
            own = Permission(permissions[0].access, domid)
            permissions = (own, *permissions[1:])
        self._touched(path)
        self.nodes[path] = Node(b"", permissions, (), self._next_generation())
        self._put(above, children=(*self.nodes[above].children, name))

    def _drop(self, path: str) -> list[str]:
        self._touched(path)
        dropped = [path]
        for name in self.nodes.pop(path).children:
            dropped += self._drop(_child_path(path, name))
        return dropped

    def _check_quota(self, domid: int, more: int) -> None:
        owned = sum(n.permissions[0].domid == domid for n in self.nodes.values())
        if owned + more > MAX_GUEST_NODES:
            raise XenstoreError("ENOSPC")
