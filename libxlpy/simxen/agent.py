"""What a guest's kernel does about its xenstore nodes: it obeys ``control/shutdown``.

And its event channel for suspend, if it has one. If it is to hold its migrations back,
it does as ``libxlpy.domain.notice`` has it.

It acts as the guest's own domid, on relative paths, and only while the guest can run: a
paused guest answers nobody.

Source: Linux, drivers/xen/manage.c, shutdown_handler().
"""

import asyncio
from collections.abc import Mapping

from libxlpy.simxen.domain import Domain
from libxlpy.simxen.faults import FAULT_REASONS, Place
from libxlpy.simxen.suspend_channel import GUEST_PORT
from libxlpy.simxen.xenstored.connection import Connection
from libxlpy.simxen.xenstored.store import Store
from libxlpy_protocol.xen import SHUTDOWN_POWEROFF, SHUTDOWN_REBOOT, SHUTDOWN_SUSPEND
from libxlpy_protocol.xenstore_wire import Packet, XsType

REQUEST_PATH = "control/shutdown"
NOTICE_PATH, HOLD_PATH = "control/libxlpy/migrate", "data/libxlpy/hold"
SOON, HOLDS, LETS_GO = b"soon", b"1", b""
CHANNEL_PATH = "device/suspend/event-channel"
#: What may be written there -> the reason the guest then shuts down with.
REASONS: Mapping[str, int] = {
    "suspend": SHUTDOWN_SUSPEND,
    "poweroff": SHUTDOWN_POWEROFF,
    "halt": SHUTDOWN_POWEROFF,
    "reboot": SHUTDOWN_REBOOT,
}
#: What a guest says it understands.
FEATURES = ("suspend", "poweroff", "reboot")


class Agent:
    """The xenbus side of one guest.

    Args:
        domain: Whose agent this is.
        store: The host's store.
    """

    def __init__(self, domain: Domain, store: Store) -> None:
        self._domain = domain
        self._replies: list[Packet] = []
        self._rung = asyncio.Event()
        self._lets_go: asyncio.TimerHandle | None = None
        self._connection = Connection(store, domain.domid, self._take)
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def stop(self) -> None:
        """Forget the watch; answer no more."""
        self._task.cancel()
        self._forget_notice()
        await asyncio.wait({self._task})
        self._connection.close()

    async def _run(self) -> None:
        await self._domain.runnable.wait()
        for feature in FEATURES:
            self._request(XsType.WRITE, f"control/feature-{feature}\0", b"1")
        if (channel := self._domain.suspend_channel) is not None:
            channel.on_request = self._rung.set
            self._request(XsType.WRITE, f"{CHANNEL_PATH}\0", b"%d" % GUEST_PORT)
        self._request(XsType.WATCH, f"{REQUEST_PATH}\0agent\0")
        if self._domain.spec.hold_ms:
            self._request(XsType.WRITE, f"{HOLD_PATH}\0", HOLDS)
            self._request(XsType.WATCH, f"{NOTICE_PATH}\0agent\0")
        while True:
            await self._rung.wait()
            await self._domain.runnable.wait()
            self._rung.clear()
            if self._domain.spec.hold_ms:
                self._hold()
            await self._obey()

    def _hold(self) -> None:
        """Hold a migration back for a while, once told of it."""
        told = self._request(XsType.READ, f"{NOTICE_PATH}\0").payload == SOON
        if told and self._lets_go is None:
            loop = asyncio.get_running_loop()
            seconds = self._domain.spec.hold_ms / 1000
            self._lets_go = loop.call_later(
                seconds, self._request, XsType.WRITE, f"{HOLD_PATH}\0", LETS_GO
            )
        elif not told and self._lets_go is not None:
            self._forget_notice()
            self._request(XsType.WRITE, f"{HOLD_PATH}\0", HOLDS)

    def _forget_notice(self) -> None:
        if self._lets_go is not None:
            self._lets_go.cancel()
            self._lets_go = None

    async def _obey(self) -> None:
        """Do what is asked, unless a fault gets in the way."""
        channel = self._domain.suspend_channel
        if channel is not None and channel.take_request():
            await self._obey_event()
        asked = self._asked()
        if asked not in REASONS:
            return
        reason = REASONS[asked]
        fault = None
        if reason == SHUTDOWN_SUSPEND:
            fault = self._domain.faults.take(Place.AGENT)
        name = fault.name if fault else ""
        if name == "never_ack":
            return
        if fault is not None and name == "slow_ack":
            await asyncio.sleep(fault.seconds)
            await self._domain.runnable.wait()
        if not self._acknowledge(asked) or name == "never_suspend":
            return
        if fault is not None and name == "slow_suspend":
            await asyncio.sleep(fault.seconds)
        await self._domain.shutdown(FAULT_REASONS.get(name, reason))

    async def _obey_event(self) -> None:
        """Suspend, unless a fault gets in the way; there is nothing to answer."""
        fault = self._domain.faults.take(Place.AGENT)
        name = fault.name if fault else ""
        if name in ("never_ack", "never_suspend"):
            return
        if fault is not None and name in ("slow_ack", "slow_suspend"):
            await asyncio.sleep(fault.seconds)
        await self._domain.shutdown(FAULT_REASONS.get(name, SHUTDOWN_SUSPEND))

    def _asked(self) -> str:
        reply = self._request(XsType.READ, f"{REQUEST_PATH}\0")
        if reply.type == XsType.ERROR:
            return ""
        return reply.payload.decode("ascii", "replace")

    def _acknowledge(self, asked: str) -> bool:
        """Write "" in place of the request; false if it was withdrawn meanwhile."""
        if self._asked() != asked:
            return False
        reply = self._request(XsType.WRITE, f"{REQUEST_PATH}\0")
        return reply.type != XsType.ERROR

    # ---------------------------------------------------------------- private

    def _take(self, packet: Packet) -> None:
        if packet.type == XsType.WATCH_EVENT:
            self._rung.set()
        else:
            self._replies.append(packet)

    def _request(self, kind: XsType, path: str, value: bytes = b"") -> Packet:
        """Ask the store; it answers before this returns."""
        self._connection.handle(Packet(kind, 0, 0, path.encode() + value))
        return self._replies.pop()
