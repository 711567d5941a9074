"""JSON from outside: whatever is wrong with a text is one error, in words of ours.

Stricter than Python's reader: no NaN, no infinity, no number over 64 bits, no half
characters, no size, depth or number of values that would cost whoever goes on with it.
"""

from __future__ import annotations

import json
import math

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any, Final, NoReturn

#: Characters or bytes of a text; reading takes some twenty times as much.
TEXT_MAX: Final = 1024 * 1024
#: libxl's configurations are 8 deep; Python's own writer ends at some hundreds.
DEPTH_MAX: Final = 64
#: Values in a text: some megabytes once they are read. A domain has some thousands.
VALUES_MAX: Final = 100_000
#: Digits of the largest number, its sign included.
_DIGITS_MAX: Final = 20
_INT_MIN: Final = -(1 << 63)
_INT_MAX: Final = (1 << 64) - 1


class JsonError(ValueError):
    """A text is not JSON, or none that is taken; says why in one clause."""


def parse(text: bytes | str) -> Any:
    """Read one JSON text.

    Raises:
        JsonError: It breaks a rule.
    """
    if len(text) > TEXT_MAX:
        raise JsonError(f"it is larger than {TEXT_MAX} bytes")
    text = _decoded(text)
    if sum(map(text.count, ",[{")) > VALUES_MAX:
        raise JsonError(f"it has more than {VALUES_MAX:,} values")
    try:
        value = json.loads(
            text, parse_int=_int, parse_float=_float, parse_constant=_constant
        )
    except json.JSONDecodeError as exc:
        where = f"line {exc.lineno}, column {exc.colno}"
        raise JsonError(f"it is not JSON: {where}") from None
    except RecursionError:
        raise _too_deep() from None
    _check_depth(value)
    if "\\u" in text:
        _check_characters(value)
    return value


def parse_object(text: bytes | str) -> dict[str, Any]:
    """Read one JSON object.

    Raises:
        JsonError: It breaks a rule, or is something else.
    """
    value = parse(text)
    if not isinstance(value, dict):
        raise JsonError("it is JSON, but no object")
    return value


def _decoded(text: bytes | str) -> str:
    try:
        return text if isinstance(text, str) else text.decode()
    except UnicodeDecodeError:
        raise JsonError("it is not UTF-8") from None


def _int(digits: str) -> int:
    if len(digits) > _DIGITS_MAX or not _INT_MIN <= int(digits) <= _INT_MAX:
        raise JsonError("a number in it is too large")
    return int(digits)


def _float(digits: str) -> float:
    value = float(digits)
    if math.isinf(value):
        raise JsonError("a number in it is too large")
    return value


def _constant(name: str) -> NoReturn:
    raise JsonError(f"{name} is no number of JSON")


def _check_depth(value: Any) -> None:
    level = [value]
    for _ in range(DEPTH_MAX):
        level = [inner for each in level for inner in _inside(each)]
        if not level:
            return
    raise _too_deep()


def _inside(value: Any) -> Iterable[Any]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()


def _too_deep() -> JsonError:
    return JsonError(f"it is nested deeper than {DEPTH_MAX} levels")


def _check_characters(value: Any) -> None:
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise JsonError("it holds half a character") from None
