"""Changes of a saved file: a record more, less, elsewhere, or with another body.

The names in capitals are kinds of records, as Xen numbers them.
"""

import struct
from collections.abc import Callable

from tests.support.saved_file import SavedFile, body_of, changed, kind_of, record

END, PAGE_DATA, PV_INFO, P2M, BASIC, XSAVE, SHARED_INFO, TSC = 0, 1, 2, 3, 4, 6, 7, 8
CONTEXT, PARAMS, TOOLSTACK, MSRS, VERIFY, CHECKPOINT, COLO = 9, 10, 11, 12, 13, 14, 15
STATIC_END, CPUID, MSR = 16, 17, 18
OPTIONAL = 1 << 31
KEYS, STATE = 2, 3
HOLE = 15 << 60
#: One leaf of CPUID, all zero.
POLICY = record(CPUID, bytes(24))

Change = Callable[[SavedFile], None]


def nothing(file: SavedFile) -> None:
    pass


def twice(kind: int) -> Change:
    return lambda f: f.records.insert(f.place(kind), f.records[f.place(kind)])


def without(kind: int) -> Change:
    def change(file: SavedFile) -> None:
        for place in reversed(file.all_of(kind)):
            del file.records[place]

    return change


def without_one(which: int) -> Change:
    def change(file: SavedFile) -> None:
        del file.records[file.all_of(PAGE_DATA)[which]]

    return change


def before(kind: int, new: bytes) -> Change:
    """Put a record before the first one of a kind."""
    return lambda f: f.records.insert(f.place(kind), new)


def behind(kind: int, new: bytes) -> Change:
    """Put a record behind the last one of a kind."""
    return lambda f: f.records.insert(f.last(kind) + 1, new)


def moved(kind: int, to: int) -> Change:
    """Put the first record of a kind before the first one of another."""

    def change(file: SavedFile) -> None:
        raw = file.records.pop(file.place(kind))
        file.records.insert(file.place(to), raw)

    return change


def moved_behind(kind: int, to: int) -> Change:
    def change(file: SavedFile) -> None:
        raw = file.records.pop(file.place(kind))
        file.records.insert(file.last(to) + 1, raw)

    return change


def policies(*records: bytes) -> Change:
    """Have these in place of all policies."""

    def change(file: SavedFile) -> None:
        without(CPUID)(file)
        without(MSR)(file)
        place = file.place(STATIC_END)
        file.records[place:place] = records

    return change


def with_policies(change: Change) -> Change:
    """Change a file that has policies: a real guest's own, which fit its registers."""

    def both(file: SavedFile) -> None:
        if not file.all_of(CPUID):
            policies(POLICY, record(MSR, bytes(16)))(file)
        change(file)

    return both


def version_2(file: SavedFile) -> None:
    """Make an image as Xen before 4.14 wrote them."""
    policies()(file)
    without(STATIC_END)(file)
    head("libxc", 15, b"\2")(file)


def holes_only(file: SavedFile) -> None:
    """Name the same frames, but give none of them a page."""
    for place in file.all_of(PAGE_DATA):
        body = body_of(file.records[place])
        entries = struct.unpack_from(f"<{int.from_bytes(body[:4], 'little')}Q", body, 8)
        file.records[place] = page(*(HOLE | entry & (1 << 52) - 1 for entry in entries))


def bytes_of(kind: int, at: int, new: bytes) -> Change:
    """Change the first record of a kind, from a byte of its body on."""

    def change(file: SavedFile) -> None:
        place = file.place(kind)
        file.records[place] = changed(file.records[place], 8 + at, new)

    return change


def body(kind: int, make: Callable[[bytes], bytes]) -> Change:
    """Give the first record of a kind another body."""

    def change(file: SavedFile) -> None:
        place = file.place(kind)
        file.records[place] = record(kind, make(body_of(file.records[place])))

    return change


def one_more_param(index: int) -> Callable[[bytes], bytes]:
    """Add an HVM parameter to a body."""

    def make(body: bytes) -> bytes:
        (count,) = struct.unpack_from("<I", body)
        return struct.pack("<I", count + 1) + body[4:] + struct.pack("<QQ", index, 1)

    return make


def head(part: str, at: int, new: bytes) -> Change:
    return lambda f: setattr(f, part, changed(getattr(f, part), at, new))


def then(*records: bytes) -> Change:
    """Put libxl's records between the image and what follows it."""
    return lambda f: f.after.__setitem__(slice(0, 0), records)


def emulated(make: Callable[[bytes], list[bytes]]) -> Change:
    """Make the records behind the image of the emulator's state, but for END."""

    def change(file: SavedFile) -> None:
        states = [raw for raw in file.after if kind_of(raw) == STATE]
        [state] = states or [emulator(STATE, b"x")]  # a PVH domain has none
        file.after[:-1] = make(state)

    return change


def cut(count: int) -> Change:
    def change(file: SavedFile) -> None:
        file.after[-1] = file.after[-1][:-count]

    return change


def emulator(kind: int, rest: bytes) -> bytes:
    return record(kind, struct.pack("<II", 2, 0) + rest)


def page(*entries: int, pages: int = 0, count: int = -1, zero: int = 0) -> bytes:
    count = len(entries) if count < 0 else count
    numbers = struct.pack(f"<II{len(entries)}Q", count, zero, *entries)
    return record(PAGE_DATA, numbers + bytes(4096 * pages))


def keys(text: bytes) -> Change:
    return emulated(lambda state: [emulator(KEYS, text), state])
