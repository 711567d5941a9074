"""Each kind of guest: ours restored by the real xl, and xl's own by ours."""

from pathlib import Path

import pytest

from .restoring import monitors
from .support import assert_went_on, domid_of, forget_domids, ok, wait_for

pytestmark = pytest.mark.xen


@pytest.mark.parametrize(
    ("kind", "live"),
    [
        pytest.param("pv", [], id="pv", marks=pytest.mark.core("PV")),
        pytest.param("pvh", [], id="pvh", marks=pytest.mark.core("PVH")),
        # qemu logs what it writes, too, is stopped, and saves its state.
        pytest.param("hvm", ["--live"], id="hvm live", marks=pytest.mark.core("HVM")),
    ],
)
def test_goes_on_both_ways(make_guest, saved: Path, kind: str, live: list[str]) -> None:
    guest = make_guest(kind)
    before, domid = guest.ticks(), domid_of(guest)
    ok("xlpy", "save", "-D", *live, guest.name, saved)
    wait_for(f"{guest.name} to be gone", lambda: guest.gone() or None)
    ok("xlpy", "verify", saved)
    forget_domids()
    guest.restore(saved)
    assert domid_of(guest) == domid  # the file has it
    assert_went_on(before, guest.next_ticks(2))

    before = guest.ticks()
    ok("xl", "save", guest.name, saved)
    ok("xlpy", "verify", saved)
    ok("xlpy", "restore", "-e", saved)
    assert not monitors()
    assert_went_on(before, guest.next_ticks(2))
