"""A migration's downtime by parts, from the phases of its sender."""

import pytest

from libxlpy.results.downtime import downtime_parts

HVM = (
    *(("start", 0.0), ("libxc", 0.5), ("hold", 1.0), ("suspend", 2.0)),
    *(("device model", 2.25), ("suspended", 2.5), ("emulator", 3.0), ("end", 3.25)),
    *(("flush", 3.5), ("complete", 3.75), ("settle", 4.0), ("received", 4.5)),
    *(("name", 5.0), ("go", 5.25), ("report", 5.5), ("moved", 6.5), ("done", 9.0)),
)
EACH = {
    "guest": 250.0,
    "device_model": 250.0,
    "pages": 500.0,
    "device_state": 250.0,
    "end": 500.0,
    "target": 1250.0,
    "hand_over": 500.0,
    "start": 1000.0,
}


def test_each_part_lasts_until_the_next_begins() -> None:
    assert list(downtime_parts(HVM).items()) == list(EACH.items())


def test_they_make_up_all_from_the_request_until_it_runs_there() -> None:
    assert sum(EACH.values()) == (6.5 - 2.0) * 1e3


def test_a_guest_without_a_device_model_has_no_such_parts() -> None:
    without = [each for each in HVM if each[0] not in ("device model", "emulator")]
    parts = downtime_parts(without)
    assert not parts.keys() & {"device_model", "device_state"}
    assert sum(parts.values()) == sum(EACH.values())


@pytest.mark.parametrize("timeline", [(), HVM[:3]])
def test_one_that_was_never_asked_has_none(timeline: tuple[tuple[str, float]]) -> None:
    assert downtime_parts(timeline) == {}
