"""Parse and check the argv of the build helper."""

from __future__ import annotations

import uuid as uuids

from libxlpy_helper.options import OptionsError, read_options
from libxlpy_protocol.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Final

    from libxlpy_helper.options import Reader

NONE: Final = -1


def _number(name: str, rest: list[str]) -> int:
    text = rest.pop(0) if rest else ""
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise OptionsError(f"{name} {text!r} is no number")
    return int(text)


def _uuid(name: str, rest: list[str]) -> bytes:
    text = rest.pop(0) if rest else ""
    try:
        return uuids.UUID(text).bytes
    except ValueError:
        raise OptionsError(f"{name} {text!r:.80} is no uuid") from None


def _switch(_name: str, _rest: list[str]) -> bool:
    return True


#: Option -> what reads its value.
_READERS: Final[dict[str, Reader]] = {
    "--parent": _number,
    "--config-fd": _number,
    "--destroy": _number,
    "--uuid": _uuid,
    "--paused": _switch,
    "--monitor": _switch,
}


class BuildOptions(Value):
    """What argv said.

    ``config_fd`` has the domain's configuration as JSON. ``destroy`` is a domid to
    remove, in place of everything else; -1 = none; ``uuid`` is its own.
    """

    parent: int
    config_fd: int = NONE
    destroy: int = NONE
    paused: bool = False
    monitor: bool = False
    uuid: bytes = b""


def parse_build_options(argv: Sequence[str]) -> BuildOptions:
    """Return the options in ``argv`` (without the program's name).

    Raises:
        OptionsError: Unknown, repeated, missing or malformed.
    """
    values = read_options(argv, _READERS)
    if "--parent" not in values:
        raise OptionsError("--parent is missing")
    if ("--config-fd" in values) == ("--destroy" in values):
        raise OptionsError("one of --config-fd and --destroy is needed")
    if ("--uuid" in values) != ("--destroy" in values):
        raise OptionsError("--destroy and --uuid go together")
    return BuildOptions(
        parent=values["--parent"],
        config_fd=values.get("--config-fd", NONE),
        destroy=values.get("--destroy", NONE),
        paused=values.get("--paused", False),
        monitor=values.get("--monitor", False),
        uuid=values.get("--uuid", b""),
    )
