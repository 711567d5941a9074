"""Figures come from what libxenguest and the helper say, and from nothing else."""

import time

import pytest

from libxlpy.jobs.handed_over import Handed, HandedOver
from libxlpy.jobs.meter import Meter
from libxlpy.journal import Life
from libxlpy.results.statistics import BUCKETS_MS, IoCounts, Latency
from libxlpy_protocol.messages import Progress, Stat


def frames(meter: Meter, name: str, done: int, total: int) -> None:
    meter.progress(Progress("xc", name, done, total))


def stat(meter: Meter, *, rss_kib: int = 0, io: IoCounts | None = None) -> None:
    figures = Stat(1, "libxc", 4096, 1, 0, -1, 1500000, 500000, rss_kib, 0)
    meter.stat(figures, io)


class Clock:
    """Time that passes only when told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Give the meter's clock."""
    clock = Clock()
    monkeypatch.setattr("libxlpy.jobs.meter.time", clock)
    return clock


def test_passes_become_the_history_with_what_was_found_dirty(clock: Clock):
    meter = Meter(clock.now)
    frames(meter, "Frames iteration 0", 0, 2048)
    clock.now += 2
    frames(meter, "Frames iteration 0", 2048, 2048)
    clock.now += 0.5  # until the log is read
    meter.answered("precopy_policy", 0.001)
    frames(meter, "Frames iteration 1", 60, 100)
    now = meter.snapshot()
    assert (now.iteration, now.total, now.remaining) == (1, 2048 * 4096, 40 * 4096)
    (first,) = now.history
    assert (first.number, first.pages_sent, first.dirty_found) == (0, 2048, 100)
    assert first.seconds == 2
    assert now.dirty_pages_rate == 100 / 2.5
    frames(meter, "Frames iteration 1", 100, 100)
    meter.answered("suspend", 0.001)
    frames(meter, "Frames iteration 1", 0, 30)  # libxc: again, the guest is suspended
    frames(meter, "Frames iteration 1", 30, 30)
    meter.end()
    assert [
        (each.pages_sent, each.dirty_found) for each in meter.snapshot().history
    ] == [
        (2048, 100),
        (100, 30),
        (30, None),
    ]


def test_last_pass_counts_though_it_is_named_and_as_long_as_the_one_before():
    meter = Meter(time.monotonic())
    frames(meter, "Frames iteration 0", 2048, 2048)
    meter.answered("precopy_policy", 0.001)
    frames(meter, "Frames iteration 1", 13, 13)
    meter.answered("precopy_policy", 0.001)
    meter.answered("suspend", 0.001)
    # of what the helper could not send in time only the latest is left: no 0 of 13
    frames(meter, "Frames iteration 1", 13, 13)
    meter.end()
    passes = [(each.pages_sent, each.dirty_found) for each in meter.history]
    assert passes == [(2048, 13), (13, 13), (13, None)]
    assert all(each.seconds > 0 for each in meter.history[1:])


def test_last_pass_ends_with_its_last_page_and_not_with_the_job(clock: Clock):
    meter = Meter(clock.now)
    frames(meter, "Frames iteration 0", 0, 8)
    clock.now += 1
    frames(meter, "Frames iteration 0", 8, 8)
    clock.now += 4
    meter.end()
    assert meter.history[0].seconds == 1


def test_a_verify_pass_says_nothing_of_dirty_pages():
    meter = Meter(time.monotonic())
    frames(meter, "Frames iteration 0", 8, 8)
    frames(meter, "Frames verify", 8, 8)
    assert meter.snapshot().history[0].dirty_found is None
    assert meter.snapshot().dirty_pages_rate is None


def test_other_progress_is_no_pass():
    meter = Meter(time.monotonic())
    frames(meter, "End of stream", 0, 0)
    assert meter.snapshot().total == 0


def test_what_is_not_known_is_none():
    now = Meter(time.monotonic()).snapshot()
    unknown = (now.downtime, now.expected_downtime, now.setup_time, now.mbps)
    assert unknown == (None,) * 4
    assert now.dirty_pages_rate is None
    assert now.helper.io is None


def test_helper_use_keeps_the_most_memory_and_the_last_counts():
    meter = Meter(time.monotonic())
    stat(meter, rss_kib=4, io=IoCounts(1, 2, 3, 4))
    stat(meter, rss_kib=2)
    use = meter.snapshot().helper
    assert (use.user_seconds, use.system_seconds) == (1.5, 0.5)
    assert (use.rss_bytes, use.max_rss_bytes) == (2048, 4096)
    assert use.io == IoCounts(1, 2, 3, 4)


def test_every_answer_falls_into_one_bucket():
    latency = Latency()
    for bound in BUCKETS_MS:
        latency = latency.also(bound)
    latency = latency.also(BUCKETS_MS[-1] + 1)
    assert latency.buckets == (1,) * (len(BUCKETS_MS) + 1)
    assert latency.count == len(BUCKETS_MS) + 1
    assert latency.max_ms == BUCKETS_MS[-1] + 1


async def test_downtime_ends_with_the_handover_or_later_with_the_resume(tmp_path):
    meter = Meter(time.monotonic())
    meter.suspended(time.monotonic())
    assert meter.downtime is None
    meter.completed()
    handover = meter.downtime
    assert handover is not None
    meter.end()
    known = HandedOver()
    known.add(7, Handed("save-7", "uuid", meter, Life(tmp_path / "life")))
    resumed = await known.resumed(7, "uuid")
    assert resumed is not None
    assert resumed > handover
    assert meter.snapshot().downtime == resumed


async def test_another_guest_of_the_same_number_is_not_taken_for_ours(tmp_path):
    known = HandedOver()
    life = Life(tmp_path / "life")
    known.add(7, Handed("save-7", "one", Meter(time.monotonic()), life))
    assert await known.resumed(7, "another") is None
    assert await known.resumed(7, "one") is None


def test_text_names_every_pass_and_callback():
    meter = Meter(time.monotonic())
    frames(meter, "Frames iteration 0", 8, 8)
    meter.answered("suspend", 0.002)
    meter.end()
    text = "\n".join(meter.snapshot().lines())
    assert "iteration 0: 8 pages" in text
    assert "an unknown number dirty after it" in text
    assert "callback suspend: 1 times, 2.0 ms mean" in text
