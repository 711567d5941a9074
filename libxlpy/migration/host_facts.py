"""What a migration must know of a host: which Xen it is, and whose processor."""

import uuid as uuids
from pathlib import Path

from libxlpy.aio import aside
from libxlpy.backend import Backend
from libxlpy.errors import BackendError, reason_of
from libxlpy_protocol.fields import NAME_MAX, clip
from libxlpy_protocol.value import Value

XEN_VERSION = Path("/sys/hypervisor/version")
CPUINFO = Path("/proc/cpuinfo")
VENDOR = "vendor_id"
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
#: Seconds for files that no disk keeps.
WITHIN = 10.0


class HostFacts(Value):
    """One host; "" for what is not known."""

    #: As in "4.17".
    xen: str
    #: As in "GenuineIntel".
    vendor: str
    #: Another one on each host, and after each boot.
    host: bytes


async def host_facts(backend: Backend) -> HostFacts:
    """Look at this host.

    Raises:
        BackendError: It does not answer.
    """
    try:
        return await aside(lambda: _looked(backend), WITHIN)
    except TimeoutError as exc:
        raise BackendError("this machine's /proc or /sys does not answer") from exc
    except OSError as exc:
        raise BackendError(f"can't tell this host: {reason_of(exc)}") from exc


def _looked(backend: Backend) -> HostFacts:
    xen = _version() if backend.kind == "xen" else ""
    host = uuids.uuid5(uuids.UUID(BOOT_ID.read_text().strip()), str(backend.host))
    return HostFacts(clip(xen, NAME_MAX), clip(_vendor(), NAME_MAX), host.bytes)


def _version() -> str:
    try:
        parts = [
            (XEN_VERSION / part).read_text().strip() for part in ("major", "minor")
        ]
    except (OSError, UnicodeDecodeError):
        return ""
    return ".".join(parts)


def _vendor() -> str:
    try:
        with CPUINFO.open() as lines:
            for line in lines:
                name, _, value = line.partition(":")
                if name.strip() == VENDOR:
                    return value.strip()
    except (OSError, UnicodeDecodeError):
        pass  # not known
    return ""


def is_older(one: str, other: str) -> bool:
    """Tell whether a Xen is known to be older than another."""
    try:
        return tuple(map(int, one.split("."))) < tuple(map(int, other.split(".")))
    except ValueError:
        return False
