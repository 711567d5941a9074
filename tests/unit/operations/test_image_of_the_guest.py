"""A save's image must be one of its guest, as far as headers say."""

from types import SimpleNamespace
from typing import Any

import pytest

from libxlpy.errors import ProtocolViolation
from libxlpy.operations.save import DomainSave
from libxlpy.streams import Walked


def save(kind: str, pages: int) -> Any:
    made = DomainSave.__new__(DomainSave)
    made._suspend = SimpleNamespace(kind=kind)  # type: ignore[assignment]
    made._pages = pages
    return made


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
    save(kind, 100)._check_image(found)


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
        save(kind, 100)._check_image(found)
