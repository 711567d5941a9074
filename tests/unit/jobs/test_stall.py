"""Three signals of a job that does not get on, and what is done about each."""

import pytest

from libxlpy.errors import Cancelled, TimedOut, UsageError
from libxlpy.events import StallEvent
from libxlpy.jobs.stall import StallAction, StallPolicy, StallWatch
from libxlpy.results.statistics import Iteration
from tests.support.scripted_jobs import StartJob

pytestmark = pytest.mark.usefixtures("nothing_blocks")


def history(*dirty: int | None) -> list[Iteration]:
    return [Iteration(number, 1, found, 1.0) for number, found in enumerate(dirty)]


def told(policy: StallPolicy, *lengths: tuple[int | None, ...]) -> list[StallEvent]:
    events: list[StallEvent] = []
    watch = StallWatch(policy, lambda event, action: events.append(event))
    for dirty in lengths:
        watch.passes(history(*dirty))
    return events


TRENDS: dict[tuple[int | None, ...], bool] = {
    (100, 50, 40): False,
    (100, 50, 50): False,
    (50, 50, 50): True,
    (50, 60, 70): True,
    (200, 50, 60, 60): True,
    (50, None, 60): False,
    (50, 60): False,
}


@pytest.mark.parametrize("dirty", TRENDS)
async def test_precopy_that_does_not_shrink_twice_is_told(
    dirty: tuple[int | None, ...],
):
    events = told(StallPolicy(iterations=2), dirty, dirty)
    assert [event.signal for event in events] == ["iterations"] * TRENDS[dirty]


async def test_without_a_bound_nothing_is_told():
    assert told(StallPolicy(), (1, 1, 1, 1)) == []
    assert not StallPolicy(on_bytes=StallAction.STOP_AND_COPY).may_stop


async def test_policy_that_stops_says_so():
    policy = StallPolicy(iterations=1, on_iterations=StallAction.STOP_AND_COPY)
    assert policy.may_stop


async def test_stalls_with_abort_end_the_job(start_job: StartJob):
    policy = StallPolicy(iterations=1, on_iterations=StallAction.ABORT)
    job = start_job("does_not_converge", stall=policy)
    seen = [event async for event in job.events() if isinstance(event, StallEvent)]
    with pytest.raises(Cancelled, match=r"does not converge: .*\[50, 60\]"):
        await job
    assert [event.action for event in seen] == ["abort"]


async def test_bytes_that_stop_end_the_job_by_name(start_job: StartJob):
    policy = StallPolicy(bytes_age=0.2, on_bytes=StallAction.ABORT)
    with pytest.raises(TimedOut) as caught:
        await start_job("alive_but_stuck", stall=policy)
    assert caught.value.deadline == "bytes_age"


async def test_warning_is_told_and_noted_and_the_job_goes_on(start_job: StartJob):
    policy = StallPolicy(heartbeat_age=0.1)
    job = start_job("silent", stall=policy, heartbeat=60.0)
    async for event in job.events():
        if isinstance(event, StallEvent):
            assert (event.signal, event.action) == ("heartbeat_age", "warn")
            await job.cancel()
    with pytest.raises(Cancelled) as caught:
        await job
    assert any("no sign of life" in text for text in caught.value.details.later_errors)


async def test_bounds_must_be_bounds():
    with pytest.raises(UsageError, match="stall bound iterations must be positive: 0"):
        StallPolicy(iterations=0)
