"""What a domain to be created should be like, checked once, at the edge."""

import re
from collections.abc import Callable, Mapping
from typing import Any
from uuid import UUID

from libxlpy.simxen.errors import SimxenError
from libxlpy.simxen.vcpu import FULL_SPEED, Pattern, TrackerKind
from libxlpy_protocol.fields import brief
from libxlpy_protocol.value import Value
from libxlpy_protocol.xen import DOMID_MAX

#: The smallest guest has one batch of libxc's, 1024 pages; memory bounds the largest.
MIN_MEMORY_MIB = 4
MAX_MEMORY_MIB = 1 << 20
PAGES_PER_MIB = 256
MAX_VCPUS = 128
#: The longest that a guest holds its migration back, ms.
HOLD_MAX = 600_000

TYPES = ("pv", "hvm", "pvh")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]{0,62}", re.ASCII)


class DomainSpec(Value):
    """What a domain is like from its creation on.

    Args:
        name: Unique in its host.
        type: ``pv``, ``hvm`` (with a device model) or ``pvh``.
        memory_mib: Memory, MiB.
        vcpus: Number that is shown; the guest is one process.
        rate: Pages it writes a second; 0 idle, ``FULL_SPEED``.
        pattern: Which pages it writes.
        hot_pages: Size of the working set of pattern ``HOT``.
        fill: Write every page once before all else.
        tracker: How its writes are tracked.
        pv_drivers: It answers ``control/shutdown``; only an HVM guest may lack them.
        suspend_channel: It offers an event channel for the request to suspend.
        hold_ms: It holds a migration back so long once it is told, see
            ``libxlpy.domain.notice``; 0: it does not want to be told.
        paused: Created paused.
        restore: Created empty, to be restored into.
        uuid: Unique in its host; made up if None, or taken and ``restore``: a copy.
        keep_uuid: With ``restore``: it has the uuid, taken or not, as in Xen; for a
            domain that comes back to the host which it has not left yet.
        domid: A free one; one that none had before if None. As in Xen, the domid of
            a domain that is gone can be used again.
        config: Any JSON object, kept for whoever asks.
    """

    name: str
    type: str = "pv"
    memory_mib: int = 64
    vcpus: int = 1
    rate: int = 0
    pattern: Pattern = Pattern.UNIFORM
    hot_pages: int = 0
    fill: bool = True
    tracker: TrackerKind = TrackerKind.AUTO
    pv_drivers: bool = True
    suspend_channel: bool = False
    hold_ms: int = 0
    paused: bool = False
    restore: bool = False
    uuid: UUID | None = None
    keep_uuid: bool = False
    domid: int | None = None
    config: Mapping[str, Any] = {}

    @property
    def nr_pages(self) -> int:
        """Pages of memory."""
        return self.memory_mib * PAGES_PER_MIB


def parse_spec(request: Mapping[str, Any]) -> DomainSpec:
    """Read a ``create`` request.

    Raises:
        SimxenError: A field is unknown, missing or wrong; names it and what it may be.
    """
    unknown = sorted(set(request) - set(_READERS))
    if unknown:
        raise SimxenError(f"unknown field {unknown[0]!r} in create")
    if "name" not in request:
        raise SimxenError("name is missing: a domain needs one")
    fields = {key: _READERS[key](key, value) for key, value in request.items()}
    spec = DomainSpec(**fields)
    if not spec.pv_drivers and spec.type != "hvm":
        raise SimxenError(
            f"a {spec.type} guest always has PV drivers: leave out pv_drivers"
        )
    if spec.keep_uuid and not spec.restore:
        raise SimxenError("keep_uuid is for domains to be restored into: leave it out")
    if spec.suspend_channel and not spec.pv_drivers:
        raise SimxenError("suspend_channel needs pv_drivers: they serve it")
    if spec.hold_ms and not spec.pv_drivers:
        raise SimxenError("hold_ms needs pv_drivers: they serve it")
    if spec.pattern is Pattern.HOT and not 0 < spec.hot_pages <= spec.nr_pages:
        raise SimxenError(f"hot_pages must be 1..{spec.nr_pages} with pattern hot")
    return spec


# ------------------------------------------------------------ reading fields


def read_bool(key: str, value: object) -> bool:
    """Take a JSON boolean."""
    if not isinstance(value, bool):
        raise SimxenError(f"{key} must be true or false, not {brief(value)}")
    return value


def read_int(key: str, value: object, least: int, most: int) -> int:
    """Take a whole number between two bounds."""
    fits = isinstance(value, int) and not isinstance(value, bool)
    if not fits or not least <= value <= most:  # type: ignore[operator]
        raise SimxenError(
            f"{key} must be a whole number {least}..{most}, not {brief(value)}"
        )
    return value  # type: ignore[return-value]


def read_choice(key: str, value: object, choices: tuple[str, ...]) -> str:
    """Take one of some words."""
    if not isinstance(value, str) or value not in choices:
        raise SimxenError(f"{key} must be {' or '.join(choices)}, not {brief(value)}")
    return value


def read_name(key: str, value: object) -> str:
    """Take a domain's name."""
    if not isinstance(value, str) or not _NAME.fullmatch(value) or value.isdigit():
        raise SimxenError(
            f"{key} must be letters, digits and _.+- (not digits only, 63 at most), "
            f"not {brief(value)}"
        )
    return value


def _read_uuid(key: str, value: object) -> UUID:
    try:
        return UUID(value if isinstance(value, str) else "")
    except ValueError:
        text = f"{key} must be a UUID such as {UUID(int=0)}, not {brief(value)}"
        raise SimxenError(text) from None


def _read_config(key: str, value: object) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise SimxenError(f"{key} must be a JSON object, not {brief(value)}")
    return value


def _integer(least: int, most: int) -> Callable[[str, object], int]:
    return lambda key, value: read_int(key, value, least, most)


def _one_of(names: tuple[str, ...]) -> Callable[[str, object], str]:
    return lambda key, value: read_choice(key, value, names)


def _member(kind: type[Pattern] | type[TrackerKind]) -> Callable[[str, object], Any]:
    names = tuple(each.name.lower() for each in kind)
    return lambda key, value: kind[read_choice(key, value, names).upper()]


_READERS: dict[str, Callable[[str, object], Any]] = {
    "name": read_name,
    "type": _one_of(TYPES),
    "memory_mib": _integer(MIN_MEMORY_MIB, MAX_MEMORY_MIB),
    "vcpus": _integer(1, MAX_VCPUS),
    "rate": _integer(0, FULL_SPEED),
    "pattern": _member(Pattern),
    "hot_pages": _integer(0, FULL_SPEED),
    "fill": read_bool,
    "tracker": _member(TrackerKind),
    "pv_drivers": read_bool,
    "suspend_channel": read_bool,
    "hold_ms": _integer(0, HOLD_MAX),
    "paused": read_bool,
    "restore": read_bool,
    "domid": _integer(1, DOMID_MAX),
    "uuid": _read_uuid,
    "keep_uuid": read_bool,
    "config": _read_config,
}
