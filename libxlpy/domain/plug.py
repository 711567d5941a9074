"""What a guest sends, held in the kernel; each call blocks.

    guest -> vif, its ingress --+
    guest -> vif, its ingress --+-> ifb of ours, its plug qdisc -> on, as from its vif

One plug holds what comes by all of a guest's interfaces: what it sends keeps its order,
and an epoch of all of them ends at once. The redirection takes all protocols. The ifb's
name has the guest's number, and the filters have the ifb's: that is enough to take all
of it down after a crash.

Linux: net/sched/sch_plug.c, drivers/net/ifb.c. Xen:
tools/hotplug/Linux/remus-netbuf-setup.
"""

import errno
import socket
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from importlib import import_module
from types import ModuleType
from typing import Any

from libxlpy.aio import aside
from libxlpy.errors import BackendError, NotSupported, errno_text, reason_of
from libxlpy_protocol.value import Value

#: Bytes that may be held; 10 Gbit/s for 50 ms. What is sent beyond is dropped.
LIMIT = 64 << 20

PREFIX = "xlpy-"
ROOT = 0x10000
INGRESS = 0xFFFF0000
#: Of our filters, with the ifb's number: that tells them from others'.
FILTER = 0x78000000
ETH_P_ALL = 3

NO_HINTS: Mapping[int, str] = {}

#: Seconds for what was held to leave, each of two times: before and after the line is
#: free again.
LEAVE_SECONDS = 10.0
#: Seconds between two looks at what is held still.
LOOK_AGAIN = 0.001
#: Of an interface whose guest has ended meanwhile.
GONE = (errno.ENODEV, errno.EINVAL, errno.ENOENT)


def ifb_name(domid: int) -> str:
    """Give the name of a guest's ifb; at most 15 bytes, as the kernel has it."""
    return f"{PREFIX}{domid}"


class Held(Value):
    """What a plug holds."""

    packets: int
    bytes: int
    #: Packets that found no room, since it was set up: the guest has lost them.
    dropped: int


def load() -> ModuleType:
    """Load what asks the kernel; the first time it takes a while.

    Raises:
        NotSupported: There is no pyroute2.
    """
    try:
        return import_module("pyroute2")
    except ImportError as exc:
        text = "apt-get install python3-pyroute2"
        raise NotSupported(f"no pyroute2, which asks the kernel: {text}") from exc


class Plug:
    """One guest's; used by one thread only."""

    def __init__(self, ifb: str) -> None:
        """Take the ifb's name; nothing is done yet."""
        self._ifb = ifb
        self._index = 0
        self._module: ModuleType
        self._ip: Any = None

    def open(self) -> None:
        """Open a socket.

        Raises:
            NotSupported: There is no pyroute2.
            BackendError: No socket can be had.
        """
        self._module = load()
        with self._asking("netlink can't be had"):
            self._ip = self._module.IPRoute()

    def close(self) -> None:
        """Close it, if it was opened."""
        if self._ip is not None:
            self._ip.close()
            self._ip = None

    # ----- set up -----------------------------------------------------------------

    def make(self, vifs: Sequence[str], limit: int = LIMIT) -> None:
        """Have all that a guest sends by these pass; what fails is undone.

        Raises:
            NotSupported: The kernel lacks a part of it.
            BackendError: It can't be done; the message says what to do.
        """
        sources = {vif: self._source(vif) for vif in vifs}
        self._add_ifb()
        try:
            self._fill(limit)
            for vif, source in sources.items():
                self._divert(vif, source)
        except BaseException:
            with suppress(BackendError, NotSupported):
                self.remove(seconds=0.0)
            raise

    def _source(self, vif: str) -> int:
        index = self._index_of(vif)
        if not index:
            raise BackendError(f"there is no interface {vif}: ip link")
        return index

    def _add_ifb(self) -> None:
        hints = {
            errno.EEXIST: "it was left by another protection: xlpy recover",
            errno.EOPNOTSUPP: "no ifb in this kernel: modprobe ifb",
        }
        with self._asking(f"{self._ifb} can't be made", hints):
            self._ip.link("add", ifname=self._ifb, kind="ifb")
        self._index = self._index_of(self._ifb)

    def _fill(self, limit: int) -> None:
        hints = {errno.ENOENT: "no sch_plug in this kernel: modprobe sch_plug"}
        with self._asking(f"{self._ifb} can't be set up", hints):
            self._ip.link("set", index=self._index, state="up")
            self._ip.tc("add", "plug", self._index, handle=ROOT, limit=limit)
        self.let_pass()

    def _divert(self, vif: str, source: int) -> None:
        hints = {
            errno.EEXIST: f"it has filters of its own: tc qdisc del dev {vif} ingress",
            errno.ENOENT: "no sch_ingress in this kernel: modprobe sch_ingress",
        }
        with self._asking(f"{vif} can't be redirected", hints):
            self._ip.tc("add", "ingress", source)
        try:
            self._redirect(vif, source)
        except BaseException:  # without its filter nobody knows it for ours
            with self._asking(f"{vif} can't be freed"):
                self._ip.tc("del", "ingress", source)
            raise

    def _redirect(self, vif: str, source: int) -> None:
        parts = "cls_matchall or act_mirred"
        hints = {errno.ENOENT: f"no {parts} in this kernel: modprobe them"}
        action = {
            "kind": "mirred",
            "direction": "egress",
            "action": "redirect",
            "ifindex": self._index,
        }
        with self._asking(f"{vif} can't be redirected", hints):
            self._ip.tc(
                "add-filter",
                "matchall",
                source,
                handle=self._filter,
                parent=INGRESS,
                protocol=ETH_P_ALL,
                prio=1,
                action=action,
            )

    @property
    def _filter(self) -> int:
        return FILTER | self._index & 0xFFFFFF

    # ----- the epochs -------------------------------------------------------------

    def mark(self) -> None:
        """End an epoch: what comes from now on is held."""
        self._change("TCQ_PLUG_BUFFER")

    def release(self) -> None:
        """Let go what was sent before the last mark."""
        self._change("TCQ_PLUG_RELEASE_ONE")

    def let_pass(self) -> None:
        """Let go all that is held, and hold nothing from now on."""
        self._change("TCQ_PLUG_RELEASE_INDEFINITE")

    def _change(self, action: str) -> None:
        with self._asking(f"{self._ifb} does not obey"):
            self._ip.tc("change", "plug", self._index, handle=ROOT, action=action)

    def held(self) -> Held | None:
        """Tell what is held; None if there is no plug."""
        with self._asking(f"{self._ifb} can't be asked"):
            qdiscs = list(self._ip.get_qdiscs(index=self._index))
        for qdisc in qdiscs:
            if qdisc.get_attr("TCA_KIND") == "plug":
                queue = qdisc.get_attr("TCA_STATS2").get_attr("TCA_STATS_QUEUE")
                return Held(queue["qlen"], queue["backlog"], queue["drops"])
        return None

    def drained(self, seconds: float) -> bool:
        """Wait until nothing is held; tell whether that is so."""
        until = time.monotonic() + seconds
        while (held := self.held()) and held.packets:
            if time.monotonic() >= until:
                return False
            time.sleep(LOOK_AGAIN)
        return True

    # ----- the end ----------------------------------------------------------------

    def remove(self, seconds: float) -> None:
        """Let all go in order, then take everything down; it may be there by half.

        Args:
            seconds: How long to wait for what is held to have left.

        Raises:
            BackendError: It can't be done, or something is held still.
        """
        self._index = self._index_of(self._ifb)
        if not self._index:
            return  # there is no filter without it
        what = f"{self._ifb} can't be removed"
        with self._asking(what):
            [link] = self._ip.get_links(self._index)
        if link.get_nested("IFLA_LINKINFO", "IFLA_INFO_KIND") != "ifb":
            raise BackendError(f"{what}: it is no ifb, thus not ours")
        if self.held() is not None:
            self.let_pass()
            self.drained(seconds)
        # From here on what the guest sends goes straight on: what is held comes first.
        self._cut()
        if not self.drained(seconds) and (held := self.held()):
            raise BackendError(f"{what}: {held.packets} packets don't leave")
        with self._asking(what):
            self._ip.link("del", index=self._index)

    def _cut(self) -> None:
        """Remove the redirections that are ours."""
        with self._asking("filters can't be looked at"):
            qdiscs = list(self._ip.get_qdiscs())
        for qdisc in qdiscs:
            if qdisc.get_attr("TCA_KIND") == "ingress":
                self._free(qdisc["index"])

    def _free(self, source: int) -> None:
        try:
            rules = list(self._ip.get_filters(index=source, parent=INGRESS))
            if {rule["handle"] for rule in rules if rule["handle"]} == {self._filter}:
                self._ip.tc("del", "ingress", source)
        except self._module.NetlinkError as exc:
            if exc.code not in GONE:
                text = f"interface {source} can't be freed: {errno_text(exc.code)}"
                raise BackendError(text) from exc

    # ----- the kernel -------------------------------------------------------------

    @staticmethod
    def _index_of(name: str) -> int:
        try:
            return socket.if_nametoindex(name)
        except OSError:
            return 0

    @contextmanager
    def _asking(self, what: str, hints: Mapping[int, str] = NO_HINTS) -> Iterator[None]:
        """Have the kernel asked for something.

        Raises:
            NotSupported: A part of the kernel is missing; ``hints`` names it.
            BackendError: It was refused.
        """
        try:
            yield
        except OSError as exc:
            raise BackendError(f"{what}: {reason_of(exc)}") from exc
        except self._module.NetlinkError as exc:
            hint = "root may" if exc.code == errno.EPERM else hints.get(exc.code)
            text = f"{what}: {hint or errno_text(exc.code)}"
            if hint and exc.code in (errno.ENOENT, errno.EOPNOTSUPP):
                raise NotSupported(text) from exc
            raise BackendError(text) from exc


# ----- left by one that was killed -------------------------------------------------


async def leftover(domid: int) -> str | None:
    """Give what a protection of a guest has left that was killed, for :func:`remove`.

    Raises:
        BackendError: The kernel does not answer.
    """
    name = ifb_name(domid)
    with _answered():
        names = await aside(socket.if_nameindex, LEAVE_SECONDS)
    return name if name in dict(names).values() else None


async def remove(name: str) -> None:
    """Let all go that a :func:`leftover` holds, then remove it.

    Raises:
        NotSupported: There is no pyroute2.
        BackendError: It can't be done, or the kernel does not answer.
    """

    def work() -> None:
        left = Plug(name)
        left.open()
        try:
            left.remove(LEAVE_SECONDS)
        finally:
            left.close()

    with _answered():
        await aside(work, 4 * LEAVE_SECONDS)


@contextmanager
def _answered() -> Iterator[None]:
    try:
        yield
    except TimeoutError as exc:
        raise BackendError("the kernel does not answer for its network") from exc
