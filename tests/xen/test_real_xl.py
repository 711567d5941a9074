"""The rig itself: Xen's own tools save and restore the rig's guests."""

from pathlib import Path

import pytest

from .support import Guest, assert_went_on, ok

pytestmark = [pytest.mark.xen, pytest.mark.long]


def test_real_save_and_restore(guest: Guest, saved: Path) -> None:
    before = guest.ticks()
    ok("xl", "save", guest.name, saved)
    assert guest.gone()
    guest.restore(saved)
    assert_went_on(before, guest.next_ticks(3))
