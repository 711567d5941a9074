"""Bounds and exact types of every kind of field."""

import enum
from typing import Annotated

import pytest

from libxlpy_protocol.enums import Mode, Op, Side, XcFlags
from libxlpy_protocol.fields import (
    DATA_MAX,
    I32,
    I64,
    ITEMS_MAX,
    NAME_MAX,
    PATH_MAX,
    TEXT_MAX,
    U8,
    U32,
    U64,
    AnswerValue,
    BodyLimit,
    Field,
    FieldError,
    Name,
    Path,
    Text,
    ToolstackData,
    UuidBytes,
    Wide,
    brief,
    clip,
    field_of,
)


class IntLike(int):
    """No int by our rules."""


class StrLike(str):
    """No str by our rules."""


WHOLES = {
    "u8": (U8, 0, 2**8 - 1),
    "u32": (U32, 0, 2**32 - 1),
    "u64": (U64, 0, 2**64 - 1),
    "i32": (I32, -(2**31), 2**31 - 1),
    "i64": (I64, -(2**63), 2**63 - 1),
    "wide": (Wide, -(2**63), 2**64 - 1),
    "limit": (BodyLimit, 64 * 1024, 2**32 - 1),
}


@pytest.mark.parametrize(("kind", "low", "high"), WHOLES.values(), ids=WHOLES)
def test_whole_numbers(kind: object, low: int, high: int) -> None:
    field = field_of(kind)
    for value in (low, high, (low + high) // 2):
        assert field.take(value) == field.put(value) == value
    for value in (low - 1, high + 1):
        with pytest.raises(FieldError, match=f"is {value}, outside {low}"):
            field.take(value)


FORMS = {
    "u32": U32,
    "mode": Mode,
    "flags": XcFlags,
    "bool": bool,
    "text": Text,
    "path": Path,
    "data": ToolstackData,
    "row": tuple[Name, ...],
    "answer": AnswerValue,
}
GOOD = {
    "u32": {int},
    "mode": {int},
    "flags": {int},
    "bool": {bool},
    "text": {str},
    "path": {str},
    "data": {bytes},
    "row": {tuple},
    "answer": {int, bytes, type(None)},
}
ODD = [
    1,
    True,
    1.0,
    "x",
    b"x",
    bytearray(b"x"),
    ("x",),
    ["x"],
    {},
    None,
    IntLike(1),
    StrLike("x"),
    1j,
    Side.HELPER,
]


@pytest.mark.parametrize("odd", ODD, ids=lambda odd: type(odd).__name__)
@pytest.mark.parametrize("form", FORMS)
def test_only_the_exact_type_is_taken(form: str, odd: object) -> None:
    field = field_of(FORMS[form])
    if type(odd) in GOOD[form]:
        field.take(odd)
        field.put(odd)
        return
    for check in (field.take, field.put):
        with pytest.raises(FieldError, match=f"is {type(odd).__name__}, not"):
            check(odd)


def test_choice_is_a_number_on_the_wire_and_a_member_here() -> None:
    field = field_of(Op)
    assert type(field.put(Op.DESTROY)) is int
    assert field.put(8) == 8
    assert field.take(8) is Op.DESTROY
    for number in (0, max(Op) + 1, -1, 2**40):
        with pytest.raises(FieldError, match=f"is {number}, no Op"):
            field.take(number)
        with pytest.raises(FieldError):
            field.put(number)


def test_choice_of_another_enum_is_refused() -> None:
    with pytest.raises(FieldError, match="is Op, not int"):
        field_of(Mode).put(Op.INFO)


def test_flags_are_any_of_their_bits_and_no_other() -> None:
    field = field_of(XcFlags)
    for number in range(4):
        assert field.take(number) == XcFlags(number)
        assert type(field.take(number)) is XcFlags
        assert field.put(XcFlags(number)) == number
    for number in (4, 5, 2**31, -1):
        with pytest.raises(FieldError, match=f"is {number}, no XcFlags"):
            field.take(number)


@pytest.mark.parametrize(
    ("kind", "most"), [(Name, NAME_MAX), (Path, PATH_MAX), (Text, TEXT_MAX)]
)
def test_text_is_measured_in_bytes(kind: object, most: int) -> None:
    field = field_of(kind)
    assert field.take("x" * most) == "x" * most
    with pytest.raises(FieldError, match=f"has {most + 1} bytes, more than {most}"):
        field.take("x" * (most + 1))
    with pytest.raises(FieldError, match="more than"):
        field.take("é" * (most // 2 + 1))


def test_text_must_be_utf8() -> None:
    with pytest.raises(FieldError, match="no UTF-8"):
        field_of(Text).put("\udc80")


def test_path_has_no_nul() -> None:
    with pytest.raises(FieldError, match="NUL"):
        field_of(Path).take("/etc/passwd\0.txt")
    assert field_of(Text).take("a\0b") == "a\0b"


@pytest.mark.parametrize(("kind", "most"), [(ToolstackData, DATA_MAX), (UuidBytes, 16)])
def test_data_are_bounded(kind: object, most: int) -> None:
    field = field_of(kind)
    assert field.take(bytes(most)) == bytes(most)
    with pytest.raises(FieldError, match=f"has {most + 1} bytes, more than {most}"):
        field.take(bytes(most + 1))


def test_rows_are_bounded_and_so_are_their_items() -> None:
    field = field_of(tuple[U8, ...])
    assert field.word == "u8[]"
    assert field.take(()) == ()
    assert field.take((1,) * ITEMS_MAX) == (1,) * ITEMS_MAX
    with pytest.raises(FieldError, match="has 33 items, more than 32"):
        field.take((1,) * (ITEMS_MAX + 1))
    with pytest.raises(FieldError, match="is 256"):
        field.take((1, 256))
    with pytest.raises(FieldError, match="is bool"):
        field.take((True,))


def test_answer_values_have_the_bounds_of_their_type() -> None:
    field = field_of(AnswerValue)
    for good in (None, b"", bytes(DATA_MAX), -(2**31), 2**31 - 1):
        assert field.take(good) == good
    for bad in (bytes(DATA_MAX + 1), 2**31, -(2**31) - 1):
        with pytest.raises(FieldError):
            field.take(bad)


def test_a_field_must_say_what_it_takes() -> None:
    with pytest.raises(TypeError, match="take"):
        Field()  # type: ignore[abstract]


@pytest.mark.parametrize("bad", [int, enum.Enum, Annotated[int, "u8"], None])
def test_an_annotation_that_names_no_kind_is_our_bug(bad: object) -> None:
    with pytest.raises((AssertionError, TypeError)):
        field_of(bad)


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ("short '", '"short \'"'),
        (b"y" * 99, "b'" + "y" * 26 + "..." + "y" * 28 + "'"),
        ("x" * 99, "'" + "x" * 27 + "..." + "x" * 28 + "'"),
        ([["x" * 99] * 99] * 99, "[[...], [...], [...], [...], [...], [...], ...]"),
    ],
)
def test_long_value_is_cut_inside_its_quotes(value: object, told: str):
    assert brief(value) == told


def test_clip_makes_any_text_fit() -> None:
    assert clip("plain") == "plain"
    assert clip("abc", 2) == "ab"
    assert clip("aé", 2) == "a"
    assert clip("\udc80") == "\\x80"
    assert clip("\ud800") == "\\ud800"  # half a character
    assert clip("x" * (TEXT_MAX + 9)) == "x" * TEXT_MAX
    field_of(Text).put(clip("é\udcff" * TEXT_MAX))


def test_each_side_has_a_peer() -> None:
    assert Side.HELPER.peer is Side.PARENT
    assert Side.PARENT.peer is Side.HELPER
