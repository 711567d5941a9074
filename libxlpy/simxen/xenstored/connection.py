"""One client of the store: a socket (dom0) or a guest's agent (its own domid)."""

from collections.abc import Callable

from libxlpy.simxen.xenstored.requests import MAX_PAYLOAD, REQUESTS
from libxlpy.simxen.xenstored.store import Store
from libxlpy.simxen.xenstored.transactions import Transaction
from libxlpy.simxen.xenstored.tree import Tree, XenstoreError
from libxlpy.simxen.xenstored.watches import Change, WatchList
from libxlpy_protocol.xenstore_wire import Packet, XsType


class Connection:
    """Answers requests and passes on events, in order.

    Args:
        store: What it works on.
        domid: Who it acts as.
        deliver: Takes each packet for the client: replies and watch events.
    """

    def __init__(
        self, store: Store, domid: int, deliver: Callable[[Packet], None]
    ) -> None:
        self.store = store
        self.domid = domid
        self.watches = WatchList(domid, self._send_event)
        self.transactions: dict[int, Transaction] = {}
        self._deliver = deliver
        self._actions: list[Callable[[], None]] = []
        store.attach(self.watches, domid)

    def close(self) -> None:
        """Forget watches and transactions; nothing of the latter is applied."""
        self.watches.clear()
        self.transactions.clear()
        self.store.detach(self.watches)

    def handle(self, packet: Packet) -> None:
        """Do one request: the reply first, then the events it causes."""
        self._actions.clear()
        try:
            payload = self._reply(packet)
            answer = Packet(packet.type, packet.req_id, packet.tx_id, payload)
        except XenstoreError as exc:
            text = f"{exc.name}\0".encode()
            answer = Packet(XsType.ERROR, packet.req_id, packet.tx_id, text)
        self._deliver(answer)
        actions, self._actions = self._actions, []
        for action in actions:
            action()

    def _reply(self, packet: Packet) -> bytes:
        handler = REQUESTS.get(XsType(packet.type)) if packet.type in _KNOWN else None
        if handler is None:
            raise XenstoreError("ENOSYS")
        payload = handler(self, packet.tx_id, packet.payload)
        if len(payload) > MAX_PAYLOAD:
            raise XenstoreError("E2BIG")
        return payload

    def _send_event(self, path: str, token: str) -> None:
        payload = f"{path}\0{token}\0".encode()
        self._deliver(Packet(XsType.WATCH_EVENT, 0, 0, payload))

    # ---------------------------------------------- for the request functions

    def tree(self, tx_id: int) -> Tree:
        """Give the main tree, or a transaction's view.

        Raises:
            XenstoreError: ENOENT, no such transaction of this client.
        """
        if not tx_id:
            return self.store.tree
        if tx_id not in self.transactions:
            raise XenstoreError("ENOENT")
        return self.transactions[tx_id].tree

    def changed(self, tx_id: int, changes: list[Change]) -> None:
        """Tell of changes after the reply, or keep them for the transaction's end."""
        if tx_id:
            self.transactions[tx_id].changes += changes
        else:
            self.after_reply(lambda: self.store.fire(changes))

    def after_reply(self, action: Callable[[], None]) -> None:
        """Do something once the reply is out."""
        self._actions.append(action)


_KNOWN = frozenset(int(each) for each in XsType)
