"""Find the library for a backend, and know its interface by its version.

libxenguest's interface changes between Xen releases and its soname names the release.
Before 4.14 it is another one: refused. From 4.22 on it is taken to be that of 4.22.
"""

from __future__ import annotations

import os

from libxlpy_helper.options import Options
from libxlpy_helper.xen.xenguest import (
    ABI_4_14,
    ABI_4_15,
    ABI_4_22,
    Library,
    LoadError,
    can_load,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

OLDEST: Final = 14  # Xen 4.14: before it, callbacks and arguments are others
NEWEST_LOOKED_FOR: Final = 40

#: First minor version of each interface, latest first.
INTERFACES: Final = ((22, ABI_4_22), (15, ABI_4_15), (OLDEST, ABI_4_14))
NEWEST_KNOWN: Final = INTERFACES[0][0]
NEEDED: Final = (
    f"Xen 4.{OLDEST} to 4.{NEWEST_KNOWN} is needed "
    f"(later ones, up to 4.{NEWEST_LOOKED_FOR}, are taken for 4.{NEWEST_KNOWN})"
)

SONAME: Final = "libxenguest.so.4.{}"
LIBSIMXEN: Final = os.path.join(
    os.path.dirname(os.path.dirname(__file__)), "libsimxen.so"
)
SIMXEN_VERSION: Final = "4.20"  # the release whose functions libsimxen has

RUNNING_VERSION: Final = "/sys/hypervisor/version/minor"


def open_library(options: Options) -> Library:
    """Load what argv asks for.

    Raises:
        LoadError: Nothing usable; the text is one line.
    """
    if options.backend == "xen":
        return _open_xen()
    path = options.library or LIBSIMXEN
    if not os.path.exists(path):
        raise LoadError(f"{path} does not exist: install libxlpy again")
    library = Library(path, SIMXEN_VERSION, ABI_4_15)
    library.set_simxen_host(options.host)
    return library


def abi_of(minor: int) -> int:
    """Return the interface of Xen 4.``minor``.

    Raises:
        LoadError: Older than what is supported.
    """
    for since, abi in INTERFACES:
        if minor >= since:
            return abi
    raise LoadError(f"found only {SONAME.format(minor)}: {NEEDED}")


def candidates(running: int | None) -> list[int]:
    """Return the minor versions to look for, best first.

    Several releases' libraries may be installed; only that of the running hypervisor
    can talk to it. ``running`` is its minor version, None if unknown.
    """
    order = list(range(NEWEST_LOOKED_FOR, -1, -1))
    if running in order:
        order.remove(running)
        order.insert(0, running)
    return order


def _open_xen() -> Library:
    found = next(
        (
            minor
            for minor in candidates(running_minor())
            if can_load(SONAME.format(minor))
        ),
        None,
    )
    if found is None:
        raise LoadError(f"no {SONAME.format('N')} found: is this a Xen dom0? {NEEDED}")
    return Library(SONAME.format(found), f"4.{found}", abi_of(found))


def running_minor(path: str = RUNNING_VERSION) -> int | None:
    """Return the running hypervisor's minor version; None if it doesn't say."""
    try:
        with open(path) as file:
            return int(file.read())
    except (OSError, ValueError):
        return None
