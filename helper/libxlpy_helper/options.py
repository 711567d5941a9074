"""Parse and check argv: ``--parent PID --backend xen|simxen [--host DIR]``.

Written out by hand: argparse costs a quarter of the helper's start.
"""

from __future__ import annotations

from libxlpy_protocol.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any, Final

    #: Reads the value of an option, whose name it is told, off the rest of argv.
    Reader = Callable[[str, list[str]], Any]

BACKENDS: Final = ("xen", "simxen")


class OptionsError(Exception):
    """argv is not what libxlpy passes; the text says what is wrong."""


def _text(name: str, rest: list[str]) -> str:
    if not rest or not rest[0]:
        raise OptionsError(f"{name} needs a value")
    return rest.pop(0)


_READERS: Final[dict[str, Reader]] = dict.fromkeys(
    ("--parent", "--backend", "--host", "--library"), _text
)
_NEEDED: Final = ("--parent", "--backend")


class Options(Value):
    """What argv said.

    ``host`` is the simxen host's directory, ``library`` the file to load in place of
    libsimxen.so (for tests); "" = not given.
    """

    parent: int
    backend: str
    host: str
    library: str


def parse_options(argv: Sequence[str]) -> Options:
    """Return the options in ``argv`` (without the program's name).

    Raises:
        OptionsError: Unknown, repeated, missing or malformed.
    """
    values = read_options(argv, _READERS)
    for name in _NEEDED:
        if name not in values:
            raise OptionsError(f"{name} is missing")
    options = Options(
        parent=_pid(values["--parent"]),
        backend=values["--backend"],
        host=values.get("--host", ""),
        library=values.get("--library", ""),
    )
    _check(options)
    return options


def read_options(argv: Sequence[str], readers: Mapping[str, Reader]) -> dict[str, Any]:
    """Return the value of each option that ``argv`` has.

    Args:
        argv: Without the program's name.
        readers: Of all options that there are.

    Raises:
        OptionsError: Unknown or repeated, or its reader says so.
    """
    values: dict[str, Any] = {}
    rest = list(argv)
    while rest:
        name = rest.pop(0)
        if name not in readers:
            raise OptionsError(f"unknown option {name!r}")
        if name in values:
            raise OptionsError(f"{name} given twice")
        values[name] = readers[name](name, rest)
    return values


def _pid(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) > 0):
        raise OptionsError(f"--parent {text!r} is no process id")
    return int(text)


def _check(options: Options) -> None:
    if options.backend not in BACKENDS:
        raise OptionsError(f"--backend {options.backend!r} is not one of xen, simxen")
    simxen = options.backend == "simxen"
    if options.library and not simxen:
        raise OptionsError("--library is for --backend simxen only")
    if simxen and not options.host:
        raise OptionsError("--backend simxen needs --host")
    if options.host and not simxen:
        raise OptionsError("--host is for --backend simxen only")
