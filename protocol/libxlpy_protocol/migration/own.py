"""The words of our own migration handshake, on a connection of its own.

A receiver says which handshake it speaks by its first text, ``READY`` or xl's. Then the
sender offers a domain, and the receiver accepts it, and says where the stream is to be
handed in, or refuses it; nothing was done to the guest by then. From there on both say
``Beat``, so that silence is the end of the other, and each word once.

A message is a frame as between a helper and its parent (length, msgpack array); its
number comes first.
"""

import enum
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final, cast

from libxlpy_protocol.codec import pack, unpack
from libxlpy_protocol.errors import LocalProtocolError, RemoteProtocolError
from libxlpy_protocol.fields import (
    BODY_MAX,
    DATA_MAX,
    U32,
    U64,
    Data,
    Field,
    FieldError,
    Name,
    Text,
    field_of,
)
from libxlpy_protocol.framing import frame
from libxlpy_protocol.hello import oldest_spoken
from libxlpy_protocol.messages import Message

#: Receiver: is there, and speaks this handshake.
READY: Final = b"libxlpy migration receiver ready, offer a domain.\n"
#: Receiver: the same, and it will hold a copy, epoch by epoch.
READY_TO_HOLD: Final = b"libxlpy backup ready, offer a domain.\n"

VERSION: Final = 1
MIN_VERSION: Final = oldest_spoken(VERSION)


class _Id(Field):
    """Sixteen bytes."""

    word: str = "16 bytes"

    def take(self, value: object) -> object:
        """Check type and size."""
        if type(value) is not bytes or len(value) != ID_SIZE:
            raise FieldError(f"is not {self.word}")
        return value


ID_SIZE: Final = 16
# As those of ``fields``: types for checkers, kinds at run time.
if TYPE_CHECKING:
    Id = bytes
    Config = bytes
else:
    Id = _Id()
    Config = Data("data", DATA_MAX)


class Refusal(enum.IntEnum):
    """What a receiver has against a domain."""

    #: What the text says.
    OTHER = 0
    #: Its name, or its domid, is taken.
    NAME = 1
    #: No domain can be made of its configuration.
    CONFIG = 2
    #: Another domain there has its uuid: itself, from a file, or a copy that was left.
    UUID = 3
    #: The processor is of another vendor.
    CPU = 4
    #: The Xen there is older, or no protocol version is common.
    VERSION = 5
    #: A file or device that its disks are in is not there.
    DISK = 6
    #: A bridge of its interfaces is not there.
    BRIDGE = 7
    #: Its kernel is not there.
    KERNEL = 8
    #: There is not enough memory for it.
    MEMORY = 9


class Offer(Message):
    """Sender: the domain that is to come, and what it comes from.

    ``job`` names the migration at both ends, ``host`` tells one host from another while
    they run. ``config`` is libxl's JSON. ``xen`` is ``"4.17"``, ``vendor`` as in
    /proc/cpuinfo; both "" if not known. ``dry_run`` only asks whether it could come:
    nothing is done, and the receiver's answer is its last word.
    """

    version: U32
    min_version: U32
    package: Name
    job: Id
    host: Id
    uuid: Id
    kind: Name
    memory_kib: U64
    xen: Name
    vendor: Name
    config: Config
    dry_run: bool = False


class Accept(Message):
    """Receiver: it may come; the stream is handed in at ``landing``."""

    version: U32
    package: Name
    landing: Name


class Refuse(Message):
    """Receiver: it may not, and why."""

    refusal: Refusal
    text: Text


class Beat(Message):
    """Either: is alive."""


class Received(Message):
    """Receiver: see :attr:`.Word.RECEIVED`."""


class Go(Message):
    """Sender: see :attr:`.Word.GO`."""


class GoPaused(Message):
    """Sender: as ``Go``; the guest was paused, and stays so."""


class Report(Message):
    """Receiver: what has become of its copy; ``text`` says why it does not run."""

    runs: bool
    text: Text


class Permission(Message):
    """Receiver: see :attr:`.Word.PERMISSION`."""


class GiveUp(Message):
    """Either: see :attr:`.Word.GIVEN_UP`, and why."""

    text: Text


class Held(Message):
    """Backup: has all of an epoch: memory, device model, and the end of it."""

    epoch: U64


class HandOver(Message):
    """Primary: see :attr:`.Word.HAND_OVER`."""


NUMBERS: Final[Mapping[int, type[Message]]] = dict(
    enumerate(
        (
            *(Offer, Accept, Refuse, Beat, Received, Go),
            *(Report, Permission, GiveUp, GoPaused),
            *(Held, HandOver),
        ),
        start=1,
    )
)
_NUMBER_OF: Final = {kind: number for number, kind in NUMBERS.items()}
_FIELDS: Final = {
    kind: tuple((name, field_of(kind.__annotations__[name])) for name in kind.names())
    for kind in NUMBERS.values()
}
#: Bytes of a body.
LARGEST: Final = DATA_MAX + BODY_MAX


def encode(message: Message) -> bytes:
    """Return the frame of a message.

    Raises:
        LocalProtocolError: A field does not fit.
    """
    kind = type(message)
    if kind not in _NUMBER_OF:
        raise LocalProtocolError(f"{kind.__name__} is none of a migration")
    wire: list[object] = [_NUMBER_OF[kind]]
    for name, field in _FIELDS[kind]:
        try:
            wire.append(field.put(getattr(message, name)))
        except FieldError as exc:
            raise LocalProtocolError(f"{kind.__name__}.{name} {exc}") from None
    return frame(pack(wire))


def decode(body: bytes) -> Message:
    """Return the message of a frame's body.

    Raises:
        RemoteProtocolError: It is anything but one exactly typed message.
    """
    try:
        return _decode(*unpack(body))
    except FieldError as exc:
        raise RemoteProtocolError(str(exc), frame(body)) from None


def _decode(number: object, *values: object) -> Message:
    kind = NUMBERS.get(number) if type(number) is int else None
    if kind is None:
        raise FieldError(f"no message has the number {number!r:.40}")
    fields = _FIELDS[kind]
    if kind is Offer and _is_newer(values):
        values = values[: len(fields)]
    if len(values) != len(fields):
        raise FieldError(f"{kind.__name__} has {len(values)} fields, not {len(fields)}")
    build = cast(Callable[..., Message], kind)
    return build(*map(_taken, fields, values))


def _taken(named: tuple[str, Field], value: object) -> object:
    name, field = named
    try:
        return field.take(value)
    except FieldError as exc:
        raise FieldError(f"{name} {exc}") from None


def _is_newer(values: tuple[object, ...]) -> bool:
    """Tell an offer of a later version: it may have more fields, to be left unread."""
    return bool(values) and type(values[0]) is int and values[0] > VERSION
