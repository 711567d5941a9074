"""Who migrates what to whom, on which Xen: what tests say of themselves by a marker.

`@pytest.mark.cell` marks a test that takes `sender` and `receiver`: it fills a cell of
the table in docs/migration.md. What migrates is the test's `kind`, or what the marker
says. With `hosts=2` a guest goes from one Xen to the other. scripts/cells makes the
table of what a run has printed.
"""

import json
import platform
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest

OURS, XL = "xlpy", "xl"
KINDS = {"pv": "PV", "pvh": "PVH", "hvm": "HVM with qemu"}
PEERS = ((XL, OURS), (OURS, XL), (OURS, OURS))
#: Xen of the suites that run each test on one host; and of the two that are joined.
XEN = {"bookworm": "4.17", "trixie": "4.20"}
JOINED = "4.17 \N{RIGHTWARDS ARROW} 4.20"
VERSIONS = (*XEN.values(), JOINED)
#: A cell that has a test, which has not been seen to pass.
UNSEEN = "not seen yet"
NONE = "-"
#: Where the table is in docs/migration.md.
BEGIN, END = "<!-- cells -->\n", "<!-- /cells -->\n"
#: Before a cell that a run has shown, as JSON.
SEEN = "cell: "


@dataclass(frozen=True, order=True)
class Cell:
    """One of the table.

    Attributes:
        what: Kind of guest, and what of it is looked at.
        sender: `xl` or `xlpy`.
        receiver: `xl` or `xlpy`.
        joined: It goes from one Xen to the other.
    """

    what: str
    sender: str
    receiver: str
    joined: bool = False


#: Of each cell where it was seen.
Seen = dict[Cell, set[str]]


def cell_of(item: "pytest.Item") -> Cell | None:
    """Give the cell that a test fills, if it does."""
    mark = item.get_closest_marker("cell")
    callspec = getattr(item, "callspec", None)
    if mark is None or callspec is None:
        return None
    given = callspec.params
    what = mark.args[0] if mark.args else KINDS[given["kind"]]
    joined = mark.kwargs.get("hosts", 1) > 1
    cell = Cell(what, given.get("sender", OURS), given["receiver"], joined)
    return cell if (cell.sender, cell.receiver) in PEERS else None


def line_of(cell: Cell, *, passed: bool) -> str:
    """Give the line that a run prints of a cell."""
    suite = platform.freedesktop_os_release().get("VERSION_CODENAME", "")
    version = JOINED if cell.joined else XEN.get(suite, "")
    facts = {**asdict(cell), "version": version, "passed": passed}
    return SEEN + json.dumps(facts)


def read_lines(lines: Iterable[str]) -> Iterator[tuple[Cell, str, bool]]:
    """Give cell, version and whether it passed, of all such lines in some output."""
    for line in lines:
        if line.startswith(SEEN):
            facts = json.loads(line.removeprefix(SEEN))
            version, passed = facts.pop("version"), facts.pop("passed")
            yield Cell(**facts), version, passed


def table(tested: Iterable[Cell], seen: Seen) -> str:
    """Give the table: for each cell with a test, the versions that it was seen on."""
    cells = set(tested)
    lines = ["| | " + " | ".join(f"`{a}` to `{b}`" for a, b in PEERS) + " |"]
    lines.append("|---" * (len(PEERS) + 1) + "|")
    for what in sorted({cell.what for cell in cells}, key=_order):
        row = [_text(what, *peers, cells, seen) for peers in PEERS]
        lines.append("| " + " | ".join([what, *row]) + " |")
    return "\n".join(lines) + "\n"


def _order(what: str) -> tuple[int, str]:
    """Kinds come first, in their order."""
    kinds = list(KINDS.values())
    return kinds.index(what) if what in kinds else len(kinds), what


def _text(what: str, sender: str, receiver: str, tested: set[Cell], seen: Seen) -> str:
    cells = [Cell(what, sender, receiver, joined) for joined in (False, True)]
    there = [cell for cell in cells if cell in tested]
    versions = {version for cell in there for version in seen.get(cell, set())}
    if not there:
        return NONE
    return ", ".join(each for each in VERSIONS if each in versions) or UNSEEN


def read_table(text: str) -> Seen:
    """Give what a table says: of each cell with a test, where it was seen."""
    found: Seen = {}
    for line in text.strip().splitlines()[2:]:
        what, *texts = (each.strip() for each in line.strip("|").split("|"))
        for (sender, receiver), said in zip(PEERS, texts, strict=True):
            versions = set(said.split(", ")) - {NONE, UNSEEN}
            for joined in (False, True):
                there = {each for each in versions if (each == JOINED) == joined}
                found[Cell(what, sender, receiver, joined)] = there
    return found
