"""Values: named fields, as a frozen dataclass has them."""

import copy
import pickle
from collections.abc import Mapping
from typing import ClassVar

import pytest

from libxlpy_protocol.value import Value


class Point(Value):
    """Two fields, one with a default."""

    x: int
    y: int = 5


class Solid(Point):
    """One more."""

    z: int = 7


class Other(Value):
    """The same fields as Point's."""

    x: int
    y: int = 5


class Named(Value, kw_only=True):
    """By name alone; with what is shared by all, and what no two share."""

    kinds: ClassVar[int] = 3
    words: "ClassVar[int]" = 4
    size: int = 0
    limits: Mapping[str, int] = {}


class Limited(Value):
    """In order, with what no two share, and one more."""

    limits: Mapping[str, int] = {}
    size: int = 0


class Even(Value):
    """One that looks at its field."""

    number: int

    def __post_init__(self) -> None:
        if self.number % 2:
            raise ValueError(self.number)


def test_fields_are_taken_in_order_or_by_name() -> None:
    assert Point(1, 2) == Point(y=2, x=1) == Point(1, y=2)
    assert (Point(1).x, Point(1).y) == (1, 5)
    assert Point.names() == ("x", "y")


def test_fields_of_the_base_come_first() -> None:
    assert Solid.names() == ("x", "y", "z")
    assert Solid(1, 2, 3).z == 3


def test_only_what_has_the_same_type_is_equal() -> None:
    assert Point(1) != Point(2)
    assert Point(1) != Other(1)
    assert Point(1) != (1, 5)
    assert len({Point(1), Point(1), Other(1)}) == 2


def test_it_never_changes() -> None:
    point = Point(1)
    with pytest.raises(AttributeError, match=r"Point\.x never changes"):
        point.x = 2  # type: ignore[misc]
    with pytest.raises(AttributeError, match=r"Point\.x stays"):
        del point.x
    assert point.replace(x=2) == Point(2)
    assert point == Point(1)


@pytest.mark.parametrize(
    ("values", "named", "why"),
    [
        ((), {}, "Point needs x"),
        ((), {"y": 1}, "Point needs x"),
        ((1, 2, 3), {}, "Point has 2 fields in order, not 3"),
        ((1,), {"x": 2}, "Point is given x twice"),
        ((1,), {"w": 2}, "Point has no field w"),
    ],
)
def test_other_fields_than_its_own_are_refused(
    values: tuple[int, ...], named: dict[str, int], why: str
) -> None:
    with pytest.raises(TypeError, match=why):
        Point(*values, **named)


def test_it_shows_its_fields() -> None:
    assert repr(Point(1)) == "Point(x=1, y=5)"


def test_match_takes_it_apart() -> None:
    match Point(1, 2):
        case Point(x, y):
            assert (x, y) == (1, 2)


def test_fields_that_are_named_are_not_taken_in_order() -> None:
    assert Named(size=1).size == 1
    assert Named.__match_args__ == ()
    with pytest.raises(TypeError, match="Named has 0 fields in order, not 2"):
        Named(1, {})  # type: ignore[call-arg]


def test_what_belongs_to_the_class_is_no_field() -> None:
    assert Named.names() == ("size", "limits")
    assert Named.__match_args__ == ()
    with pytest.raises(TypeError, match="Named has no field kinds"):
        Named(kinds=1)  # type: ignore[call-arg]


def test_an_empty_dict_as_default_is_not_shared() -> None:
    assert Named() == Named(limits={})
    assert Named().limits is not Named().limits
    given = {"a": 1}
    assert Named(limits=given).limits is given
    assert Limited(given).limits is given


def test_fields_may_be_looked_at() -> None:
    with pytest.raises(ValueError, match="1"):
        Even(1)
    with pytest.raises(ValueError, match="3"):
        Even(2).replace(number=3)


@pytest.mark.parametrize("made", [Point(1), Solid(1, 2), Named(limits={"a": 1})])
def test_a_copy_is_equal(made: Value) -> None:
    assert copy.copy(made) == copy.deepcopy(made) == made
    assert pickle.loads(pickle.dumps(made)) == made
    assert made.__replace__() == made
