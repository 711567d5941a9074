"""The wire requests, one function each, and the table that finds them.

Source: Xen, docs/misc/xenstore.txt; tools/xenstored/core.c, wire_funcs.
"""

from collections.abc import Callable, Mapping
from typing import Protocol

from libxlpy.simxen.xenstored.store import Store, removal_changes
from libxlpy.simxen.xenstored.transactions import Transaction
from libxlpy.simxen.xenstored.tree import (
    SPECIAL_PATHS,
    Permission,
    Tree,
    XenstoreError,
    absolute,
)
from libxlpy.simxen.xenstored.watches import Change, Watch, WatchList
from libxlpy_protocol.xenstore_wire import XsType

#: Bytes in the payload of one packet.
MAX_PAYLOAD = 4096
MAX_GUEST_TRANSACTIONS = 10

OK = b"OK\0"


class Client(Protocol):
    """What a request may use of the connection it came by."""

    domid: int
    store: Store
    watches: WatchList
    transactions: dict[int, Transaction]

    def tree(self, tx_id: int) -> Tree:
        """Give the tree that requests of a transaction work on."""
        ...

    def changed(self, tx_id: int, changes: list[Change]) -> None:
        """Tell of changes: after the reply, or at the transaction's end."""
        ...

    def after_reply(self, action: Callable[[], None]) -> None:
        """Do something once the reply is out."""
        ...


def _strings(payload: bytes, count: int) -> list[str]:
    """Split a payload of NUL-ended strings; at least ``count`` of them.

    Raises:
        XenstoreError: EINVAL.
    """
    if not payload.endswith(b"\0"):
        raise XenstoreError("EINVAL")
    try:
        parts = payload[:-1].decode("ascii").split("\0")
    except UnicodeDecodeError:
        raise XenstoreError("EINVAL") from None
    if len(parts) < count:
        raise XenstoreError("EINVAL")
    return parts


def _node_path(text: str, client: Client) -> str:
    path = absolute(text, client.domid)
    if path in SPECIAL_PATHS:
        raise XenstoreError("EINVAL")
    return path


def _path(payload: bytes, client: Client) -> str:
    return _node_path(_strings(payload, 1)[0], client)


def _number(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 10):
        raise XenstoreError("EINVAL")
    return int(text)


def _domid(payload: bytes, client: Client) -> int:
    if client.domid:
        raise XenstoreError("EACCES")
    return _number(_strings(payload, 1)[0])


# ------------------------------------------------------------------- nodes


def _children(node_children: tuple[str, ...]) -> bytes:
    return "".join(f"{name}\0" for name in node_children).encode()


def _directory(client: Client, tx_id: int, payload: bytes) -> bytes:
    node = client.tree(tx_id).get(_path(payload, client), client.domid)
    listed = _children(node.children)
    if len(listed) > MAX_PAYLOAD:
        raise XenstoreError("E2BIG")
    return listed


def _directory_part(client: Client, tx_id: int, payload: bytes) -> bytes:
    text, offset = _strings(payload, 2)[:2]
    node = client.tree(tx_id).get(_node_path(text, client), client.domid)
    head = f"{node.generation}\0".encode()
    rest = _children(node.children)[_number(offset) :]
    room = MAX_PAYLOAD - len(head) - 1
    if len(rest) <= room:
        return head + rest + b"\0"  # an empty name says: that was the last
    return head + rest[: rest.rfind(b"\0", 0, room) + 1]


def _read(client: Client, tx_id: int, payload: bytes) -> bytes:
    return client.tree(tx_id).get(_path(payload, client), client.domid).value


def _write(client: Client, tx_id: int, payload: bytes) -> bytes:
    text, separator, value = payload.partition(b"\0")
    path = _path(text + separator, client)
    client.tree(tx_id).write(path, value, client.domid)
    client.changed(tx_id, [Change(path)])
    return OK


def _mkdir(client: Client, tx_id: int, payload: bytes) -> bytes:
    path = _path(payload, client)
    if client.tree(tx_id).make(path, client.domid):
        client.changed(tx_id, [Change(path)])
    return OK


def _rm(client: Client, tx_id: int, payload: bytes) -> bytes:
    removed = client.tree(tx_id).remove(_path(payload, client), client.domid)
    client.changed(tx_id, removal_changes(removed))
    return OK


def _get_perms(client: Client, tx_id: int, payload: bytes) -> bytes:
    node = client.tree(tx_id).get(_path(payload, client), client.domid)
    return "".join(f"{entry}\0" for entry in node.permissions).encode()


def _set_perms(client: Client, tx_id: int, payload: bytes) -> bytes:
    text, *entries = _strings(payload, 2)
    path = _node_path(text, client)
    permissions = tuple(Permission.parse(entry) for entry in entries)
    client.tree(tx_id).set_permissions(path, permissions, client.domid)
    client.changed(tx_id, [Change(path)])
    return OK


# ----------------------------------------------------------------- watches


def _watch(client: Client, _tx_id: int, payload: bytes) -> bytes:
    text, token = _strings(payload, 2)[:2]
    path = absolute(text, client.domid)
    relative = path != text
    prefix = f"/local/domain/{client.domid}/" if relative else ""
    watch = Watch(path, prefix, token)
    client.watches.add(watch)
    # Once up front, so that a client needs no special case for what is there already.
    client.after_reply(lambda: client.watches.tell(watch, path))
    return OK


def _unwatch(client: Client, _tx_id: int, payload: bytes) -> bytes:
    text, token = _strings(payload, 2)[:2]
    client.watches.remove(absolute(text, client.domid), token)
    return OK


def _reset_watches(client: Client, _tx_id: int, _payload: bytes) -> bytes:
    client.transactions.clear()
    client.watches.clear()
    return OK


# ------------------------------------------------------------ transactions


def _transaction_start(client: Client, tx_id: int, _payload: bytes) -> bytes:
    if tx_id:
        raise XenstoreError("EBUSY")
    running = client.transactions
    if client.domid and len(running) >= MAX_GUEST_TRANSACTIONS:
        raise XenstoreError("ENOSPC")
    new = max(running, default=0) + 1
    running[new] = Transaction(client.store.tree, client.store.next_generation)
    return f"{new}\0".encode()


def _transaction_end(client: Client, tx_id: int, payload: bytes) -> bytes:
    if payload not in (b"T\0", b"F\0"):
        raise XenstoreError("EINVAL")
    transaction = client.transactions.pop(tx_id, None)
    if transaction is None:
        raise XenstoreError("ENOENT")
    if payload == b"T\0":
        transaction.commit()
        client.changed(0, transaction.changes)
    return OK


# ----------------------------------------------------------------- domains


def _introduce(client: Client, _tx_id: int, payload: bytes) -> bytes:
    domid = _domid(payload, client)
    _strings(payload, 3)
    client.after_reply(lambda: client.store.introduce(domid))
    return OK


def _release(client: Client, _tx_id: int, payload: bytes) -> bytes:
    domid = _domid(payload, client)
    if not client.store.is_introduced(domid):
        raise XenstoreError("ENOENT")
    client.after_reply(lambda: client.store.release(domid))
    return OK


def _get_domain_path(_client: Client, _tx_id: int, payload: bytes) -> bytes:
    return f"/local/domain/{_number(_strings(payload, 1)[0])}\0".encode()


def _is_domain_introduced(client: Client, _tx_id: int, payload: bytes) -> bytes:
    known = client.store.is_introduced(_number(_strings(payload, 1)[0]))
    return b"T\0" if known else b"F\0"


def _resume(client: Client, _tx_id: int, payload: bytes) -> bytes:
    client.store.resume(_domid(payload, client))
    return OK


Handler = Callable[[Client, int, bytes], bytes]

#: Every request we know; any other is answered with ENOSYS, as Xen's does.
REQUESTS: Mapping[XsType, Handler] = {
    XsType.DIRECTORY: _directory,
    XsType.DIRECTORY_PART: _directory_part,
    XsType.READ: _read,
    XsType.WRITE: _write,
    XsType.MKDIR: _mkdir,
    XsType.RM: _rm,
    XsType.GET_PERMS: _get_perms,
    XsType.SET_PERMS: _set_perms,
    XsType.WATCH: _watch,
    XsType.UNWATCH: _unwatch,
    XsType.RESET_WATCHES: _reset_watches,
    XsType.TRANSACTION_START: _transaction_start,
    XsType.TRANSACTION_END: _transaction_end,
    XsType.INTRODUCE: _introduce,
    XsType.RELEASE: _release,
    XsType.GET_DOMAIN_PATH: _get_domain_path,
    XsType.IS_DOMAIN_INTRODUCED: _is_domain_introduced,
    XsType.RESUME: _resume,
}
