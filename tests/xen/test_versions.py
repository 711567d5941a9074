"""A guest saved on Xen 4.17 goes on under 4.20: two VMs, a wire between them.

Each test does its machine's half: the older Xen saves and gives, the newer one takes
and restores.
"""

from pathlib import Path

import pytest

from .peer import give, take
from .support import Guest, assert_went_on, ok

pytestmark = pytest.mark.xen

CASES = [
    pytest.param("pv", "xlpy", "xl"),
    pytest.param("pvh", "xl", "xlpy"),
    pytest.param("hvm", "xl", "xlpy"),
    pytest.param("pv", "xl", "xlpy", marks=pytest.mark.long),
    pytest.param("pvh", "xlpy", "xl", marks=pytest.mark.long),
    pytest.param("hvm", "xlpy", "xl", marks=pytest.mark.long),
]


def version() -> tuple[int, int]:
    """Return the version of the Xen that runs here."""
    facts = dict(
        line.replace(" ", "").split(":", 1)
        for line in ok("xl", "info").splitlines()
        if ":" in line
    )
    return int(facts["xen_major"]), int(facts["xen_minor"])


@pytest.mark.parametrize(("kind", "saver", "restorer"), CASES)
def test_goes_on_under_a_newer_xen(
    make_guest, saved: Path, kind: str, saver: str, restorer: str
) -> None:
    case = f"{kind} saved by {saver}, restored by {restorer}"
    if version() < (4, 20):
        guest = make_guest(kind)
        before = guest.ticks()
        ok(saver, "save", guest.name, saved)
        give(case, guest.name, before[-1], saved)
        return
    parcel = take(case, saved)
    guest = Guest(kind, parcel.name)
    try:
        ok(restorer, "restore", *(["-e"] if restorer == "xlpy" else []), saved)
        assert_went_on([parcel.tick], guest.next_ticks(3))
    finally:
        guest.destroy()
