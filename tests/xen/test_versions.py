"""A guest saved on Xen 4.17 goes on under 4.20: two VMs, a wire between them.

Each test does its machine's half: the older Xen saves and gives, the newer one takes
and restores.
"""

from pathlib import Path

import pytest

from .peer import give, gives, take
from .support import Guest, assert_went_on, ok

pytestmark = pytest.mark.xen

#: Who saves, and who restores.
WAYS = (("xlpy", "xl"), ("xl", "xlpy"))


@pytest.mark.parametrize("kind", ["pv", "pvh", "hvm"])
def test_goes_on_under_a_newer_xen(make_guest, saved: Path, kind: str) -> None:
    if gives():
        guest = make_guest(kind)
        for saver, _ in WAYS:
            before = guest.ticks()
            ok(saver, "save", "-c", guest.name, saved)
            give(f"{kind} saved by {saver}", guest.name, before[-1], saved)
        return
    for saver, restorer in WAYS:
        parcel = take(f"{kind} saved by {saver}", saved)
        guest = Guest(kind, parcel.name)
        try:
            ok(restorer, "restore", *(["-e"] if restorer == "xlpy" else []), saved)
            assert_went_on([parcel.tick], guest.next_ticks(2))
        finally:
            guest.destroy()
