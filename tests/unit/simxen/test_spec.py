"""What a create request may say."""

import pytest

from libxlpy.simxen.errors import SimxenError
from libxlpy.simxen.spec import parse_spec
from libxlpy.simxen.vcpu import FULL_SPEED, Pattern, TrackerKind


def test_name_alone_is_enough():
    spec = parse_spec({"name": "web-1"})
    assert (spec.type, spec.memory_mib, spec.nr_pages) == ("pv", 64, 16384)
    assert spec.fill
    assert spec.pv_drivers
    assert not spec.paused
    assert spec.config == {}


def test_all_fields_are_taken():
    fields = {
        "name": "a",
        "type": "hvm",
        "memory_mib": 8192,
        "vcpus": 4,
        "rate": FULL_SPEED,
        "pattern": "hot",
        "hot_pages": 10,
        "fill": False,
        "tracker": "bitmap",
        "pv_drivers": False,
        "paused": True,
        "restore": True,
        "config": {"any": ["thing"]},
    }
    spec = parse_spec(fields)
    assert spec.pattern is Pattern.HOT
    assert spec.tracker is TrackerKind.BITMAP
    for key in set(fields) - {"pattern", "tracker"}:
        assert getattr(spec, key) == fields[key]


@pytest.mark.parametrize(
    "name", ["a" * 64, "", "-a", "a b", "a/b", "a\n", "ä", "7", None]
)
def test_bad_name_is_refused(name):
    with pytest.raises(SimxenError, match="name must be"):
        parse_spec({"name": name})


@pytest.mark.parametrize("hot_pages", [0, 16385])
def test_hot_set_must_fit(hot_pages):
    with pytest.raises(SimxenError, match=r"hot_pages must be 1\.\.16384"):
        parse_spec({"name": "a", "pattern": "hot", "hot_pages": hot_pages})


@pytest.mark.parametrize("hold_ms", [-1, 600_001, True])
def test_hold_is_bounded(hold_ms):
    with pytest.raises(
        SimxenError, match=r"hold_ms must be a whole number 0\.\.600000"
    ):
        parse_spec({"name": "a", "hold_ms": hold_ms})


def test_only_drivers_can_hold():
    with pytest.raises(SimxenError, match="hold_ms needs pv_drivers"):
        parse_spec({"name": "a", "type": "hvm", "pv_drivers": False, "hold_ms": 1})
