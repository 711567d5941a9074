"""Parse and check the argv of the build helper."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from libxlpy_helper.options import OptionsError

NONE: Final = -1

#: Option -> whether it takes a number.
_OPTIONS: Final = {
    "--parent": True,
    "--config-fd": True,
    "--destroy": True,
    "--paused": False,
    "--monitor": False,
}


@dataclass(frozen=True, slots=True)
class BuildOptions:
    """What argv said.

    ``config_fd`` has the domain's configuration as JSON. ``destroy`` is a domid to
    remove, in place of everything else; -1 = none.
    """

    parent: int
    config_fd: int = NONE
    destroy: int = NONE
    paused: bool = False
    monitor: bool = False


def parse_build_options(argv: Sequence[str]) -> BuildOptions:
    """Return the options in ``argv`` (without the program's name).

    Raises:
        OptionsError: Unknown, repeated, missing or malformed.
    """
    values: dict[str, int] = {}
    rest = list(argv)
    while rest:
        name = rest.pop(0)
        if name not in _OPTIONS:
            raise OptionsError(f"unknown option {name!r}")
        if name in values:
            raise OptionsError(f"{name} given twice")
        values[name] = _number(name, rest) if _OPTIONS[name] else 1
    if "--parent" not in values:
        raise OptionsError("--parent is missing")
    if ("--config-fd" in values) == ("--destroy" in values):
        raise OptionsError("one of --config-fd and --destroy is needed")
    return BuildOptions(
        parent=values["--parent"],
        config_fd=values.get("--config-fd", NONE),
        destroy=values.get("--destroy", NONE),
        paused="--paused" in values,
        monitor="--monitor" in values,
    )


def _number(name: str, rest: list[str]) -> int:
    text = rest.pop(0) if rest else ""
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise OptionsError(f"{name} {text!r} is no number")
    return int(text)
