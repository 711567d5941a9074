"""A domain's configuration in libxl's JSON, read strictly."""

import uuid as uuids
from typing import Any

from libxlpy.errors import ConfigRefused, UsageError
from libxlpy_protocol.fields import brief
from libxlpy_protocol.json_text import JsonError, parse

XL_TEXT = "if it is in xl's text format, only `xl restore` takes it"
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


def checked_name(name: object, missing: str = NO_NAME) -> str:
    """Give a domain's name.

    Args:
        name: As it was given.
        missing: What to say if there is none.

    Raises:
        ConfigRefused: There is none.
        UsageError: It is none.
    """
    if not isinstance(name, str) or not name:
        raise ConfigRefused(missing)
    if not name.isprintable():  # what neither C nor xenstore can hold is among it
        raise UsageError(f"{brief(name)} can't be a domain's name")
    return name
