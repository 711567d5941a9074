"""What a migration is expected to take, of a look at what the guest writes."""

import pytest

from libxlpy import MigrationForecast
from libxlpy.jobs.writes import GuestWrites
from libxlpy_protocol.xen import PAGE_SIZE

PAGES = 10_000


def forecast(half: int, whole: int, speed: float = 10_000) -> MigrationForecast:
    """Give it for a guest that wrote so much in half a second, and in a whole one."""
    writes = GuestWrites(half, 0.5, whole, 1.0)
    rate = speed * PAGE_SIZE
    return MigrationForecast.of(PAGES, writes, rate, is_accepted=True)


def test_guest_that_writes_nothing_is_sent_once():
    found = forecast(0, 0)
    assert (found.passes, found.sent, found.seconds) == (2, PAGES, 1.0)
    assert found.converges
    assert found.downtime == 0


def test_guest_that_writes_ever_new_pages_has_fewer_dirty_after_each_pass():
    """1000 pages/s at 10,000: a tenth of each pass."""
    found = forecast(500, 1000)
    assert found.converges
    assert found.writes == 1000
    # 10000, 1000, 100, 10: with fewer than 50 left it is suspended.
    assert (found.passes, found.sent) == (4, 11_111)
    assert found.downtime == pytest.approx(0.1)


def test_guest_that_writes_the_same_pages_again_has_them_sent_again():
    """Of 400 hot pages nearly all were written by the half."""
    found = forecast(396, 400, speed=1000)
    assert found.converges is False
    assert found.sent == pytest.approx(PAGES + 6 * 400, rel=0.1)
    assert found.downtime == pytest.approx(400, rel=0.1)


def test_guest_that_is_faster_than_the_network_does_not_converge():
    found = forecast(10_000, 20_000)
    assert not found.converges
    assert (found.passes, found.sent) == (6, 7 * PAGES)
    assert found.downtime == 1000


def test_guest_that_began_to_write_in_the_second_half_is_taken_at_its_word():
    assert forecast(0, 1000).sent == forecast(500, 1000).sent
