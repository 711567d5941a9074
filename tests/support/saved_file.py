"""A saved domain, taken apart into its records, to be changed and put together."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

LIBXC_HEAD = 40
LIBXL_HEAD = 24


def record(kind: int, body: bytes = b"") -> bytes:
    return struct.pack("<II", kind, len(body)) + body + bytes(-len(body) % 8)


def kind_of(raw: bytes) -> int:
    return int.from_bytes(raw[:4], "little")


def body_of(raw: bytes) -> bytes:
    return raw[8 : 8 + int.from_bytes(raw[4:8], "little")]


def changed(raw: bytes, at: int, new: bytes) -> bytes:
    """Give bytes with others in their place from ``at`` on."""
    return raw[:at] + new + raw[at + len(new) :]


@dataclass
class SavedFile:
    """The parts of a file; records as they are, with header and padding."""

    xl: bytes
    libxl: bytes
    libxc: bytes
    records: list[bytes]
    after: list[bytes]
    behind: bytes = b""

    @classmethod
    def of(cls, data: bytes) -> Self:
        start = 48 + int.from_bytes(data[44:48], "little")
        image = start + LIBXL_HEAD
        at = image + LIBXC_HEAD
        records = list(_records(data, at))
        at += sum(map(len, records))
        after = list(_records(data, at))
        assert at + sum(map(len, after)) == len(data)
        return cls(
            data[:start], data[start:image], data[image : image + 40], records, after
        )

    @property
    def stream(self) -> bytes:
        """All behind xl's header and configuration."""
        parts = [self.libxl, self.libxc, *self.records, *self.after, self.behind]
        return b"".join(parts)

    @property
    def pv(self) -> bool:
        return self.libxc[24] == 1

    def place(self, kind: int) -> int:
        """Give the index of the first record of a kind."""
        return [kind_of(raw) for raw in self.records].index(kind)

    def last(self, kind: int) -> int:
        """Give the index of the last record of a kind."""
        kinds = [kind_of(raw) for raw in self.records]
        return len(kinds) - 1 - kinds[::-1].index(kind)

    def all_of(self, kind: int) -> list[int]:
        return [n for n, raw in enumerate(self.records) if kind_of(raw) == kind]


def _records(data: bytes, at: int) -> Iterator[bytes]:
    kind = -1
    while kind:
        kind, length = struct.unpack_from("<II", data, at)
        end = at + 8 + length + -length % 8
        yield data[at:end]
        at = end
