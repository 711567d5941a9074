"""Images of real guests, changed: who of `verify` and both restores takes them.

What is taken is left paused and destroyed: nothing of it ever runs.
"""

import struct
from collections.abc import Iterator, Set
from copy import deepcopy
from pathlib import Path

import pytest

from libxlpy.streams import StreamRuleBroken, verify
from tests.support.grammar_cases import BEHIND, Case, cases_of
from tests.support.grammar_changes import (
    BASIC,
    HOLE,
    KEYS,
    P2M,
    PAGE_DATA,
    PARAMS,
    STATE,
)
from tests.support.saved_file import SavedFile, body_of, kind_of, record

from .support import Guest, ok, run

pytestmark = [pytest.mark.xen, pytest.mark.many]

PAGE = 4096
#: A frame's number without its type; one with a type is a page table, or has no page.
PFN = (1 << 52) - 1
#: The types from here on have no contents: XALLOC has been allocated, no more.
NO_CONTENTS, XALLOC = 13 << 60, 14 << 60


@pytest.mark.parametrize("kind", ["pv", "pvh", "hvm"])
def test_a_restore_takes_what_verify_does(make_guest, saved: Path, kind: str) -> None:
    guest = make_guest(kind)
    ok("xlpy", "save", guest.name, saved)
    sound = emptied(SavedFile.of(saved.read_bytes()))
    wrong = {}
    for name, case in cases(kind).items():
        file = deepcopy(sound)
        case.change(file)
        saved.write_bytes(file.xl + file.stream)
        if said := list(disagreed(guest, saved, case, libxl_takes(kind, case, file))):
            wrong[name] = said
    assert wrong == {}


def cases(kind: str) -> dict[str, Case]:
    """Give the cases of a kind of guest; of HVM only what a PVH guest has not."""
    found = cases_of(pv=kind == "pv")
    if kind == "hvm":  # to start a device model takes time
        return {name: case for name, case in found.items() if name.startswith("around")}
    return found


def libxl_takes(kind: str, case: Case, file: SavedFile) -> bool:
    """Tell whether Xen's restore should take a file."""
    if kind == "pvh" and {KEYS, STATE} & set(map(kind_of, file.after)):
        return False  # by its configuration it has no emulator
    return case.taken(case.libxl)


def disagreed(guest: Guest, file: Path, case: Case, libxl: bool) -> Iterator[str]:
    """Give what those said who do not do with a file what they should."""
    found = verified(file)
    if (found == "") is not case.taken() or case.told not in found:
        yield f"verify: {found}"
    expected = {"xl": libxl}
    if case.taken() or case.libxl == BEHIND:  # of a file ours asks the grammar first
        expected["xlpy"] = libxl
    for tool, taken in expected.items():
        takes, said = restored(tool, guest, file)
        if takes is not taken:
            yield f"{tool}: {said}"


def verified(file: Path) -> str:
    """Do as `xlpy verify`; give what is wrong with a file, "" if nothing is."""
    with file.open("rb") as opened:
        try:
            verify(opened.fileno())
        except StreamRuleBroken as exc:
            return str(exc)
    return ""


def restored(tool: str, guest: Guest, file: Path) -> tuple[bool, str]:
    """Have a tool restore a file; tell whether it did, and what it said."""
    done = run(tool, "restore", "-p", "-e", file)
    if done.returncode == 0:
        ok("xl", "destroy", guest.name)
    return done.returncode == 0, done.stderr


def emptied(file: SavedFile) -> SavedFile:
    """Leave out what no restore looks at, for speed: contents of most pages.

    They are allocated still. What is looked at are page tables, and what registers,
    parameters and the list of P2M frames name: more is kept than that. An HVM image
    also names a million frames without a page, and need not.
    """
    named = {
        number
        for kind in (P2M, BASIC, PARAMS)
        for place in file.all_of(kind)
        for (number,) in struct.iter_unpack("<Q", body_of(file.records[place]))
    }
    for place in reversed(file.all_of(PAGE_DATA)):
        entries, pages = without_contents(body_of(file.records[place]), named)
        if file.pv or min(entries) < HOLE:
            head = struct.pack(f"<II{len(entries)}Q", len(entries), 0, *entries)
            file.records[place] = record(PAGE_DATA, head + b"".join(pages))
        else:
            del file.records[place]
    return file


def without_contents(body: bytes, but: Set[int]) -> tuple[list[int], list[bytes]]:
    """Give entries and pages of PAGE_DATA, of plain pages only those with contents."""
    (count,) = struct.unpack_from("<I", body)
    entries, pages, at = [], [], 8 + count * 8
    for entry in struct.unpack_from(f"<{count}Q", body, 8):
        kept = entry in but or entry > PFN
        entries.append(entry if kept else entry | XALLOC)
        if entry < NO_CONTENTS:
            pages += [body[at : at + PAGE]] * kept
            at += PAGE
    return entries, pages
