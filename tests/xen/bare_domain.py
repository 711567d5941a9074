"""A toolstack without libxl: a PV domain made by hand with Xen's own bindings."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from libxlpy.operations.raw import Rings

from .support import ok, run

# Where Debian keeps Xen's own Python; each version of Xen has a folder.
sys.path += map(str, Path("/usr/lib").glob("xen-4.*/lib/python*"))
KIB = 1024


class BareDomain:
    """An empty paused PV domain of one virtual processor, with two rings."""

    def __init__(self, name: str, mebibytes: int) -> None:
        from xen.lowlevel import xc, xs  # dom0's only

        self._xc: Any = xc.xc()
        self._xs: Any = xs.xs()
        self.domid: int = self._xc.domain_create()
        self.path = f"/local/domain/{self.domid}"
        self._xc.domain_max_vcpus(self.domid, 1)
        self._xc.domain_setmaxmem(self.domid, (mebibytes + 1) * KIB)
        self.rings = Rings(store_evtchn=self._port(), console_evtchn=self._port())
        for node, value in [("", ""), ("/name", name), ("/domid", str(self.domid))]:
            ok("xenstore-write", self.path + node, value)
        ok("xenstore-write", f"{self.path}/control/shutdown", "")
        ok("xenstore-chmod", "-r", self.path, f"n{self.domid}")

    def _port(self) -> int:
        return self._xc.evtchn_alloc_unbound(self.domid, 0)

    def go_on(self, store_gfn: int, console_gfn: int) -> None:
        """Make its rings known and let it run."""
        console = {
            "ring-ref": console_gfn,
            "port": self.rings.console_evtchn,
            "type": "xenconsoled",
            "limit": 1 << 20,
        }
        for node, value in console.items():
            ok("xenstore-write", f"{self.path}/console/{node}", str(value))
        self._xs.introduce_domain(self.domid, store_gfn, self.rings.store_evtchn)
        self._xc.domain_unpause(self.domid)

    def destroy(self) -> None:
        """Remove it, whatever it is doing."""
        self._xc.domain_destroy(self.domid)
        try:
            self._xs.release_domain(self.domid)
        except Exception as error:  # it was not introduced
            print(f"release of domain {self.domid}: {error}")
        run("xenstore-rm", self.path)


@contextmanager
def bare_domain(name: str, mebibytes: int) -> Iterator[BareDomain]:
    """Make an empty domain; it is destroyed at the end."""
    domain = BareDomain(name, mebibytes)
    try:
        yield domain
    finally:
        domain.destroy()
