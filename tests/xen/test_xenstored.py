"""xenstored is stopped, or starts over, while a real guest is saved."""

from pathlib import Path

import pytest

from .faults import COPYING, request_of, stopped, unharmed, update_xenstored
from .following import Following
from .support import Guest, assert_went_on, domid_of, ok, wait_for

pytestmark = pytest.mark.xen


def test_xenstored_does_not_answer(make_guest, saved: Path) -> None:
    guest = make_guest("pvh")
    with unharmed(guest, saved):
        with Following("save", "--live", guest.name, saved) as save:
            save.until_doing(COPYING)
            line = stopped("xenstored", save.failure)
        assert "xenstore" in line
        assert "guest is running" in line


def test_xenstored_starts_over_in_a_live_save(make_guest, saved: Path) -> None:
    guest = make_guest("pvh")
    before = guest.ticks()
    with Following("save", "--live", guest.name, saved) as save:
        save.until_doing(COPYING)
        update_xenstored()
        save.success()
    assert guest.gone()
    guest.restore(saved)
    assert_went_on(before, guest.next_ticks(2))


def test_xenstored_starts_over_while_a_guest_is_waited_for(
    deaf: Guest, saved: Path
) -> None:
    """The connection, its watches and the request are still there."""
    domid = domid_of(deaf)
    with Following("save", deaf.name, saved) as save:
        save.until_phase("suspend")
        wait_for("the request", lambda: request_of(domid) == "suspend" or None)
        update_xenstored()
        assert request_of(domid) == "suspend"
        ok("xl", "destroy", deaf.name)
        line = save.failure()
    assert "guest is gone" in line
    assert not saved.exists()
