"""What a message field may hold: one small class per kind of value.

Each kind has ``put`` (our value -> wire value) and ``take`` (wire value -> our
value). Both check the exact type (a bool is no int) and the bounds, and raise
:class:`FieldError` whose text says what was wrong. ``word`` is the kind's name in
the documentation. Messages say the kind of each field in its annotation;
:func:`field_of` reads it from there.
"""

import enum
import reprlib
from abc import ABC, abstractmethod
from types import GenericAlias

from libxlpy_protocol.sizes import (
    BODY_MAX,
    DATA_MAX,
    ITEMS_MAX,
    LARGE_BODY_MAX,
    NAME_MAX,
    PATH_MAX,
    TEXT_MAX,
)
from libxlpy_protocol.value import Value

TYPE_CHECKING = False

__all__ = [
    "BODY_MAX",
    "DATA_MAX",
    "I32",
    "I64",
    "ITEMS_MAX",
    "LARGE_BODY_MAX",
    "NAME_MAX",
    "PATH_MAX",
    "TEXT_MAX",
    "U8",
    "U32",
    "U64",
    "AnswerValue",
    "BodyLimit",
    "Field",
    "FieldError",
    "Name",
    "Path",
    "Text",
    "ToolstackData",
    "UuidBytes",
    "Wide",
    "brief",
    "clip",
    "field_of",
    "one_line",
    "printable",
    "readable",
    "written_out",
]

BRIEF_MAX = 60  # characters of a value that is told


class FieldError(ValueError):
    """A value does not fit its field."""


class Field(Value, ABC):
    """One kind of value; see the module's text."""

    word: str

    def put(self, value: object) -> object:
        """Check a value of ours; return what goes on the wire."""
        return self.take(value)

    @abstractmethod
    def take(self, value: object) -> object:
        """Check a value from the wire; return what we hold."""


def _require(value: object, kind: type) -> None:
    if type(value) is not kind:
        raise FieldError(f"is {type(value).__name__}, not {kind.__name__}")


class Whole(Field):
    """An int of ``low`` .. ``high``."""

    word: str
    low: int
    high: int

    def take(self, value: object) -> object:
        """Check type and range."""
        _require(value, int)
        assert isinstance(value, int)
        if not self.low <= value <= self.high:
            raise FieldError(f"is {value}, outside {self.low}..{self.high}")
        return value


class Switch(Field):
    """A bool."""

    word: str = "bool"

    def take(self, value: object) -> object:
        """Check the type."""
        _require(value, bool)
        return value


class Choice(Field):
    """A member of an enum; its number on the wire."""

    word: str
    kind: type[enum.IntEnum] | type[enum.IntFlag]

    def put(self, value: object) -> object:
        """Check a member, or its number; return the number."""
        number = int(value) if isinstance(value, self.kind) else value
        self.take(number)
        return number

    def take(self, value: object) -> object:
        """Check the number; return the member."""
        _require(value, int)
        assert isinstance(value, int)
        if not self._holds(value):
            raise FieldError(f"is {value}, no {self.word}")
        return self.kind(value)

    def _holds(self, number: int) -> bool:
        if issubclass(self.kind, enum.IntFlag):
            return number >= 0 and not number & ~sum(self.kind)
        return number in {int(member) for member in self.kind}


class String(Field):
    """Text of at most ``most`` bytes of strict UTF-8."""

    word: str
    most: int
    nul: bool = True

    def take(self, value: object) -> object:
        """Check type, size and, for paths, that no NUL ends it early."""
        _require(value, str)
        assert isinstance(value, str)
        try:
            size = len(value.encode())
        except UnicodeEncodeError:
            raise FieldError("has characters that are no UTF-8") from None
        if size > self.most:
            raise FieldError(f"has {size} bytes, more than {self.most}")
        if not self.nul and "\0" in value:
            raise FieldError("has a NUL byte")
        return value


class Data(Field):
    """Bytes, at most ``most``."""

    word: str
    most: int

    def take(self, value: object) -> object:
        """Check type and size."""
        _require(value, bytes)
        assert isinstance(value, bytes)
        if len(value) > self.most:
            raise FieldError(f"has {len(value)} bytes, more than {self.most}")
        return value


class Row(Field):
    """A tuple of at most ``ITEMS_MAX`` items of one kind; an array on the wire."""

    word: str
    item: Field

    def take(self, value: object) -> object:
        """Check type, count and each item."""
        _require(value, tuple)
        assert isinstance(value, tuple)
        if len(value) > ITEMS_MAX:
            raise FieldError(f"has {len(value)} items, more than {ITEMS_MAX}")
        return tuple(self.item.take(item) for item in value)


class Reply(Field):
    """The value of an answer: an int, bytes, or nil for "failed, no bytes"."""

    word: str = "i32, data or nil"

    def take(self, value: object) -> object:
        """Check type and bounds; which of the three, the call's rule says."""
        if value is None:
            return None
        if type(value) is bytes:
            return _DATA.take(value)
        return _I32.take(value)


_BRIEF = reprlib.Repr()
_BRIEF.maxstring = _BRIEF.maxother = _BRIEF.maxlong = BRIEF_MAX
_BRIEF.maxlevel = 1

_I32 = Whole("i32", -(1 << 31), (1 << 31) - 1)
_DATA = Data("data", DATA_MAX)

# What annotations are made of: types for checkers, the kinds themselves at run time.
if TYPE_CHECKING:
    U8 = int
    U32 = int
    U64 = int
    I32 = int
    I64 = int
    Wide = int
    BodyLimit = int
    Name = str
    Path = str
    Text = str
    ToolstackData = bytes
    UuidBytes = bytes
    AnswerValue = int | bytes | None
else:
    U8 = Whole("u8", 0, (1 << 8) - 1)
    U32 = Whole("u32", 0, (1 << 32) - 1)
    U64 = Whole("u64", 0, (1 << 64) - 1)
    I32 = _I32
    I64 = Whole("i64", -(1 << 63), (1 << 63) - 1)
    Wide = Whole("i64 or u64", -(1 << 63), (1 << 64) - 1)
    BodyLimit = Whole("u32 >= 64 KiB", BODY_MAX, (1 << 32) - 1)
    Name = String("name", NAME_MAX)
    Path = String("path", PATH_MAX, nul=False)
    Text = String("text", TEXT_MAX)
    ToolstackData = _DATA
    UuidBytes = Data("data <= 16", 16)
    AnswerValue = Reply()


def field_of(annotation: object) -> Field:
    """Return the kind of value that a message field's annotation names."""
    if isinstance(annotation, GenericAlias):  # tuple[KIND, ...]
        item = field_of(annotation.__args__[0])
        many = f"({item.word})" if " " in item.word else item.word
        return Row(f"{many}[]", item)
    if isinstance(annotation, Field):
        return annotation
    if annotation is bool:
        return Switch()
    assert isinstance(annotation, type)
    assert issubclass(annotation, enum.IntEnum | enum.IntFlag)
    return Choice(annotation.__name__, annotation)


def one_line(text: str) -> str:
    """Make text safe to print: one line, nothing that a terminal would obey."""
    return printable(" ".join(text.split()))


def printable(text: str) -> str:
    """Write out what a terminal would obey, line breaks included."""
    return "".join(c if c.isprintable() else written_out(c) for c in readable(text))


def readable(text: str) -> str:
    """Give what a file's name says, in whatever locale.

    In place of each byte that is no text there Python has half a character. What is
    UTF-8 all the same becomes text, and any other byte is written out.
    """
    try:
        return text.encode("utf-8", "surrogateescape").decode(
            "utf-8", "backslashreplace"
        )
    except UnicodeEncodeError:  # halves of characters that come from elsewhere
        return text


def written_out(character: str) -> str:
    r"""Give a character as its bytes, as shells take them: ``"\xce\xa9"``."""
    if character.isascii():
        return ascii(character)[1:-1]
    data = character.encode("utf-8", "surrogatepass")
    return "".join(f"\\x{byte:02x}" for byte in data)


def brief(value: object) -> str:
    """Give a value as Python writes it, cut in its middle: a quote is closed."""
    return _BRIEF.repr(value)


def clip(text: str, most: int = TEXT_MAX) -> str:
    """Make any text fit a field of at most ``most`` bytes.

    For text that comes from elsewhere (Xen's log lines, file names): what is no UTF-8
    is shown as escapes, what is too long is cut at a character.
    """
    data = readable(text).encode("utf-8", "backslashreplace")
    return data[:most].decode("utf-8", "ignore")
