"""What is written down of one job, as it goes to the journal and comes back from it."""

import json
import os
import stat
import typing
from pathlib import Path
from typing import Any, Literal, Self

from libxlpy.journal.birth import birth_ns
from libxlpy.journal.identity import Identity
from libxlpy.results.report import DomainType, GuestFacts, Kind
from libxlpy_protocol.fields import brief
from libxlpy_protocol.json_text import parse_object
from libxlpy_protocol.value import Value

#: Of the form below; another one is not guessed at.
VERSION = 3
#: Bytes of an entry; a path has 4096 at most.
ENTRY_MAX = 32768
#: A file of so many bytes can be written over on a disk that is full.
BLOCK = 4096
#: Bytes left for what becomes known of a job while it runs.
ROOM = 1024

#: A time of the wall clock that no calendar has any more, in seconds: year 9000.
SINCE_MAX = 2**37 + 2**36

Policy = Literal["abort_and_resume", "finish", "resume_unless_released"]


class Stream(Value):
    """Where the job's stream is."""

    #: Its name when the job began; of use for a regular file only.
    path: str
    regular: bool
    device: int
    inode: int
    #: When the file was made: inodes are reused.
    birth_ns: int
    #: Offset of the stream's first byte in the file.
    offset: int

    @classmethod
    def of(cls, fd: int) -> Self:
        """Describe an open descriptor."""
        name = f"/proc/self/fd/{fd}"
        status = os.fstat(fd)
        regular = stat.S_ISREG(status.st_mode)
        return cls(
            str(Path(name).readlink()),
            regular,
            status.st_dev,
            status.st_ino,
            birth_ns(name),
            os.lseek(fd, 0, os.SEEK_CUR) if regular else 0,
        )


class Entry(Value, kw_only=True):
    """One job."""

    # ----- what it is -----
    job: str
    kind: Kind
    #: As in messages, e.g. ``"save of domain 7"``.
    what: str
    domid: int
    #: Of the domain; "" if it did not exist.
    uuid: str
    #: "" if it does not matter for the kind of job.
    type: DomainType | Literal[""]
    on_parent_loss: Policy
    #: Memory is copied while the guest runs.
    live: bool = False
    #: When it began, seconds of the wall clock.
    since: float
    parent: Identity
    stream: Stream
    #: File that the device model saves its state to; "" if there is none.
    state_path: str
    #: Shell's words that run a command on the host at the other end; "" if not known.
    reached_by: str = ""
    # ----- how far it is -----
    phase: str = ""
    helpers: tuple[Identity, ...] = ()
    #: What was done to the guest.
    guest: GuestFacts
    #: The helper's verdict was good: the stream has its end.
    complete: bool = False
    #: The job has ended well; what is next with the guest is for the parent to do.
    handed_over: bool = False

    def with_facts(self, facts: dict[str, Any]) -> Self:
        """Give it with some facts as they are now."""
        return self.replace(**facts)

    # ----- to and from the file ---------------------------------------------------

    def encode(self) -> bytes:
        """Give it as it goes into the file; what was done to the guest stands flat."""
        value = {"version": VERSION, **vars(self)}
        del value["guest"]
        text = json.dumps(value | self.guest.known(), default=vars).encode()
        blocks = -(-(len(text) + ROOM) // BLOCK)
        return text.ljust(blocks * BLOCK - 1) + b"\n"

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Read what a file holds.

        Raises:
            ValueError: It is no entry, or one of another version; says which field.
        """
        value = parse_object(data)
        version = value.pop("version", None)
        if version != VERSION:
            raise ValueError(f"version {brief(version)}, not {VERSION}")
        value["guest"] = {
            name: value.pop(name) for name in GuestFacts.names() if name in value
        }
        entry = _read(cls, value, "entry")
        if not 0 <= entry.since < SINCE_MAX:
            raise ValueError(f"since is {brief(entry.since)}")
        return entry


Made = typing.TypeVar("Made")


def _read(cls: type[Made], value: Any, where: str) -> Made:
    """Make a Value of a JSON object that has exactly its fields.

    Raises:
        ValueError: It has not, or one is of another type.
    """
    assert issubclass(cls, Value | GuestFacts)
    # Value itself knows this word for checkers only.
    hints = typing.get_type_hints(cls, localns={"ClassVar": typing.ClassVar})
    names = cls.names()
    if not isinstance(value, dict) or set(value) != set(names):
        raise ValueError(f"{where} has not the fields that it must have")
    read = {name: _value(hints[name], value[name], name) for name in names}
    return typing.cast(Made, cls(**read))


def _words(hint: Any) -> list[Any]:
    """Give the values of a Literal, or of a union of such."""
    choices = typing.get_args(hint)
    if typing.get_origin(hint) is Literal:
        return list(choices)
    return [word for choice in choices for word in _words(choice)]


def _value(hint: Any, value: Any, name: str) -> Any:
    if isinstance(hint, type) and issubclass(hint, Value | GuestFacts):
        return _read(hint, value, name)
    origin, choices = typing.get_origin(hint), typing.get_args(hint)
    if origin is tuple and isinstance(value, list):
        return tuple(_value(choices[0], each, name) for each in value)
    if origin in (Literal, typing.Union) and value in _words(hint):
        return value
    if hint is float and type(value) is int:
        return float(value)
    if type(value) is hint:
        return value
    raise ValueError(f"{name} is {brief(value)}")
