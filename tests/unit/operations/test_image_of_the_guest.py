"""A save's image must be one of its guest, as far as headers say."""

import pytest

from libxlpy.errors import ProtocolViolation
from libxlpy.operations.written import check_count, check_image
from libxlpy.streams import Walked


@pytest.mark.parametrize(
    ("kind", "found"),
    [
        ("pv", Walked(9000, "PV", 100)),
        ("pv", Walked(9000, "PV", 50)),  # it was ballooned down meanwhile
        ("pvh", Walked(9000, "HVM", 100)),
        ("hvm", Walked(9000, "HVM", 1)),  # the rest is populated on demand
    ],
)
def test_image_of_the_guest_is_taken(kind: str, found: Walked) -> None:
    check_image(found, kind, 100)


@pytest.mark.parametrize(
    ("kind", "found", "said"),
    [
        ("pv", Walked(9000, "HVM", 100), "a PV guest, but wrote a HVM one"),
        ("pvh", Walked(9000, "PV", 100), "a HVM guest, but wrote a PV one"),
        ("pv", Walked(9000, "PV", 49), "wrote 49 pages of about 100"),
        ("hvm", Walked(9000, "HVM", 0), "wrote 0 pages of about 100"),
        ("pvh", Walked(9000, "HVM", 0), "wrote 0 pages of about 100"),
    ],
)
def test_image_of_another_is_refused(kind: str, found: Walked, said: str) -> None:
    with pytest.raises(ProtocolViolation, match=said):
        check_image(found, kind, 100)


@pytest.mark.parametrize(
    ("kind", "count"), [("pv", 50 * 4096), ("hvm", 4096), ("pvh", 4096)]
)
def test_fewer_bytes_than_its_pages_have_are_refused(kind: str, count: int) -> None:
    check_count(count, kind, 100)
    with pytest.raises(ProtocolViolation, match=f"wrote {count - 1} bytes"):
        check_count(count - 1, kind, 100)
    with pytest.raises(ProtocolViolation, match="wrote 0 bytes"):
        check_count(-7, kind, 100)
