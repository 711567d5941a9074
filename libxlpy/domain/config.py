"""A domain's configuration in libxl's JSON, read strictly."""

import uuid as uuids
from typing import Any

from libxlpy.errors import ConfigRefused, UsageError
from libxlpy_protocol.fields import brief
from libxlpy_protocol.json_text import JsonError, parse
from libxlpy_protocol.xen import DOMID_MAX

XL_TEXT = "if it is in xl's text format, only `xl restore` takes it"
TYPES = ("pv", "hvm", "pvh")
#: Of ``b_info``.
NUMBERS = frozenset(
    {"max_vcpus", "max_memkb", "target_memkb", "shadow_memkb", "iommu_memkb"}
)
DEVICES = frozenset({"disks", "nics"})
NO_NAME = "configuration gives the domain no name"


def parse_config(config: bytes | None) -> dict[str, Any]:
    """Give a configuration, of which ``c_info`` is an object.

    Raises:
        ConfigRefused: There is none, or it can't be used.
    """
    if not config:
        raise ConfigRefused("no configuration: a restore needs the one that was saved")
    try:
        parsed = parse(config.rstrip(b"\0"))
    except JsonError as exc:
        raise ConfigRefused(f"configuration can't be used: {exc}; {XL_TEXT}") from exc
    if isinstance(parsed, dict) and isinstance(parsed.get("c_info"), dict):
        return parsed
    raise ConfigRefused("configuration is none of libxl: it has no c_info")


def check_shape(config: dict[str, Any]) -> None:
    """See that all of a configuration that is looked at is of its kind.

    Raises:
        ConfigRefused: Something is not; it is named.

    Xen: tools/libs/light/libxl_types.idl, libxl_domain_config.
    """
    created, built = config["c_info"], config.get("b_info")
    if not isinstance(built, dict):
        raise ConfigRefused("configuration is none of libxl: it has no b_info")
    _check_type(created)
    if not isinstance(created.get("uuid"), str | None):
        raise _odd("c_info uuid", created["uuid"], "no text")
    for key in NUMBERS & built.keys():
        if type(built[key]) is not int or not 0 <= built[key] < 1 << 64:
            raise _odd(f"b_info {key}", built[key], "no number of its kind")
    for key in DEVICES & config.keys():
        devices = config[key]
        whole = isinstance(devices, list)
        if not whole or not all(isinstance(each, dict) for each in devices):
            raise _odd(key, devices, "no list of objects")


def _check_type(created: dict[str, Any]) -> None:
    if "type" not in created:
        raise ConfigRefused("configuration can't be used: its c_info has no type")
    if created["type"] not in TYPES:
        raise _odd("c_info type", created["type"], "none of pv, hvm, pvh")


def _odd(what: str, value: object, why: str) -> ConfigRefused:
    text = f"configuration can't be used: {what} is {brief(value)}, {why}"
    return ConfigRefused(text)


def checked_uuid(uuid: object) -> str | None:
    """Give a domain's uuid; None if the configuration has none.

    Raises:
        ConfigRefused: It is none.
    """
    try:
        return str(uuids.UUID(uuid)) if isinstance(uuid, str) else None
    except ValueError as exc:
        text = f"uuid {brief(uuid)} of the configuration is none"
        raise ConfigRefused(text) from exc


def checked_name(name: object) -> str:
    """Give a domain's name, as a configuration has it.

    Raises:
        ConfigRefused: There is none.
        UsageError: It is none.
    """
    if not isinstance(name, str) or not name:
        raise ConfigRefused(NO_NAME)
    if not name.isprintable():  # what neither C nor xenstore can hold is among it
        raise UsageError(f"{brief(name)} can't be a domain's name")
    return name


def stored_domid(domid: object) -> int | None:
    """Give the domid that a domain is to keep, as ``-D`` stores it; None for any."""
    return domid if type(domid) is int and 0 < domid <= DOMID_MAX else None
