"""Parse and check the argv that libxl gives its save helper.

``--save-domain FD BACK_FD DOMID FLAGS CALLBACKS STREAM_TYPE`` or ``--restore-domain FD
BACK_FD DOMID STORE_EVTCHN STORE_DOMID CONSOLE_EVTCHN CONSOLE_DOMID CALLBACKS
STREAM_TYPE``, all numbers decimal. Every one of them is checked: they come from a
program that may be of another Xen release than this helper knows.

Xen: tools/libs/light/libxl_save_callout.c, ``run_helper()``.
"""

from __future__ import annotations

from libxlpy_helper.options import OptionsError
from libxlpy_protocol.enums import Image, Mode, StreamType, XcFlags
from libxlpy_protocol.libxl.table import NEWEST
from libxlpy_protocol.messages import Start
from libxlpy_protocol.value import Value
from libxlpy_protocol.xen import DOMID_MAX

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Final

USAGE: Final = (
    "libxl starts this program, not you: "
    "LIBXL_SAVE_HELPER=/path/to/libxlpy-save-helper xl save|restore|migrate ..."
)

NO_BACK_FD: Final = -1
FIRST_FD: Final = 3  # 0 and 1 are the control pipes, 2 is for messages
INT_MAX: Final = (1 << 31) - 1
U32_MAX: Final = (1 << 32) - 1
DOMID_SELF_MAX: Final = 0x7FFF  # of the peers of store and console
COLO: Final = 2


class _Number(Value):
    """One argument: its name, and its lowest and highest value."""

    name: str
    low: int
    high: int


_FDS: Final = (
    _Number("FD", FIRST_FD, INT_MAX),
    _Number("BACK_FD", NO_BACK_FD, INT_MAX),
)
_DOMID: Final = _Number("DOMID", 1, DOMID_MAX)
_LAST: Final = (_Number("CALLBACKS", 0, U32_MAX), _Number("STREAM_TYPE", 0, COLO))

_ARGUMENTS: Final = {
    "--save-domain": (*_FDS, _DOMID, _Number("FLAGS", 0, int(~XcFlags(0))), *_LAST),
    "--restore-domain": (
        *_FDS,
        _DOMID,
        _Number("STORE_EVTCHN", 0, U32_MAX),
        _Number("STORE_DOMID", 0, DOMID_SELF_MAX),
        _Number("CONSOLE_EVTCHN", 0, U32_MAX),
        _Number("CONSOLE_DOMID", 0, DOMID_SELF_MAX),
        *_LAST,
    ),
}


def parse_argv(argv: Sequence[str]) -> Start:
    """Return what ``argv`` (without the program's name) asks for.

    Raises:
        OptionsError: Anything in it is not as libxl writes it.
    """
    if not argv or argv[0] not in _ARGUMENTS:
        raise OptionsError(USAGE)
    wanted = _ARGUMENTS[argv[0]]
    if len(argv) - 1 != len(wanted):
        raise OptionsError(f"{argv[0]}: {len(argv) - 1} arguments, not {len(wanted)}")
    numbers = [
        _number(argument, text) for argument, text in zip(wanted, argv[1:], strict=True)
    ]
    values = dict(zip((argument.name for argument in wanted), numbers, strict=True))
    return _start(argv[0] == "--save-domain", values)


def _number(argument: _Number, text: str) -> int:
    digits = text[1:] if text.startswith("-") else text
    if not (digits.isascii() and digits.isdigit() and len(digits) <= len(str(U32_MAX))):
        raise OptionsError(f"{argument.name} {text!r} is no number")
    value = int(text)
    if not argument.low <= value <= argument.high:
        raise OptionsError(
            f"{argument.name} {value} is outside {argument.low}..{argument.high}"
        )
    return value


def _start(saving: bool, values: dict[str, int]) -> Start:
    if values["STREAM_TYPE"] == COLO:
        raise OptionsError("COLO streams are not supported: use Xen's own helper")
    stream_type = StreamType(values["STREAM_TYPE"])
    mode = Mode.SAVE if saving else Mode.RESTORE
    _check_mask(values["CALLBACKS"], mode)
    if saving and stream_type is StreamType.REMUS:
        mode = Mode.REMUS
    # libxl passes its stdin as back channel of every plain save; nothing reads it.
    plain = stream_type is StreamType.PLAIN
    return Start(
        mode=mode,
        domid=values["DOMID"],
        flags=XcFlags(values.get("FLAGS", 0)),
        callback_mask=values["CALLBACKS"],
        stream_type=stream_type,
        image=Image.RAW,  # libxl's own records are libxl's to write and read
        stream_fd=values["FD"],
        recv_fd=NO_BACK_FD if plain else values["BACK_FD"],
        store_evtchn=values.get("STORE_EVTCHN", 0),
        store_domid=values.get("STORE_DOMID", 0),
        console_evtchn=values.get("CONSOLE_EVTCHN", 0),
        console_domid=values.get("CONSOLE_DOMID", 0),
    )


def _check_mask(mask: int, mode: Mode) -> None:
    """Refuse callbacks of another release: their numbers may mean something else."""
    known = sum(
        1 << number
        for number, rule in NEWEST.rules.items()
        if rule.is_callback and mode in rule.modes
    )
    if mask & ~known:
        raise OptionsError(f"CALLBACKS {mask:#x} has bits that Xen 4.14 on has not")
