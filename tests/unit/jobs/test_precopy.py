"""How the passes of a job go on: order, policy, stall and deadline, as they change."""

import asyncio

import pytest

from libxlpy import PolicyAborted, UsageError, policies
from libxlpy.callbacks import PrecopyAnswer, PrecopyStats
from libxlpy.events import JobEvent, PrecopyEvent
from libxlpy.jobs.precopy import ENDING, PRECOPY, Precopy
from libxlpy.jobs.record import Record
from libxlpy.policies import AnyPolicy, Policy, PrecopyView

pytestmark = pytest.mark.usefixtures("nothing_blocks")

GO_ON = PrecopyAnswer.GO_ON
STOP = PrecopyAnswer.STOP_AND_COPY
PAGES = 10_000
#: Never stops.
ENDLESS = policies.Xen(max_iters=1 << 30, min_remaining=0)


class Asked:
    """A job's passes, and what was told of them."""

    def __init__(self, policy: AnyPolicy | None, total: float | None = None) -> None:
        self.phases: list[str] = []
        self.events: list[JobEvent] = []
        record = Record()
        record.feed.listen(self.events.append)
        self.record = record
        self.precopy = Precopy(policy, record, self.phases.append, total)

    async def ask(self, iteration: int, dirty: int) -> PrecopyAnswer:
        return await self.precopy.decide(PrecopyStats(iteration, 4096, dirty), PAGES)

    async def two_passes(self, *, seconds: float = 0.02) -> None:
        """Have two passes made, each of which takes a while."""
        for iteration, dirty in ((0, PAGES), (1, 5000)):
            assert await self.ask(iteration, dirty) is GO_ON
            await asyncio.sleep(seconds)
            assert await self.ask(iteration + 1, -1) is GO_ON

    @property
    def actions(self) -> list[str]:
        return [each.action for each in self.events if isinstance(each, PrecopyEvent)]


#: (iteration, dirty) -> libxc's own answer.
POLICY = {
    (0, 2048): GO_ON,
    (1, -1): GO_ON,
    (1, 49): STOP,
    (1, 50): GO_ON,
    (5, 2048): STOP,
    (5, -1): STOP,
}


@pytest.mark.parametrize("asked", POLICY)
async def test_policy_is_libxc_s_own_until_a_stall_says_stop(asked: tuple[int, int]):
    assert await Asked(None).ask(*asked) == POLICY[asked]
    stalled = Asked(None)
    stalled.precopy.stalled()
    assert await stalled.ask(*asked) == STOP


async def test_another_policy_counts_from_the_next_question():
    job = Asked(ENDLESS)
    assert await job.ask(6, 100) is GO_ON
    assert job.precopy.set_policy(policies.Xen())
    assert await job.ask(6, 100) is STOP
    assert not job.precopy.set_policy(policies.Xen())
    assert not job.precopy.stop_now()


async def test_order_to_stop_beats_the_policy_and_is_a_phase():
    job = Asked(ENDLESS)
    assert await job.ask(0, PAGES) is GO_ON
    assert job.precopy.stop_now()
    assert job.precopy.stop_now()
    assert job.phases == [PRECOPY, ENDING]
    assert await job.ask(1, -1) is STOP
    assert job.actions == ["stop_and_copy"]


async def test_order_that_comes_before_the_first_pass_makes_it_the_last():
    job = Asked(ENDLESS)
    assert job.precopy.stop_now()
    assert job.phases == []
    assert await job.ask(0, PAGES) is STOP
    assert job.phases == [ENDING]


async def thinks(view: PrecopyView) -> int:
    """Think for ever."""
    return await asyncio.Future()


async def test_coroutine_that_thinks_is_not_waited_for_once_it_is_replaced():
    job = Asked(thinks)
    question = asyncio.create_task(job.ask(6, 100))
    await asyncio.sleep(0)
    assert job.precopy.set_policy(ENDLESS)
    assert await question is GO_ON
    assert job.precopy.set_policy(thinks)
    question = asyncio.create_task(job.ask(6, 100))
    await asyncio.sleep(0)
    assert job.precopy.stop_now()
    assert await question is STOP


async def test_cancel_reaches_a_coroutine_that_thinks():
    job = Asked(thinks)
    question = asyncio.create_task(job.ask(1, 100))
    await asyncio.sleep(0)
    question.cancel()
    job.precopy.set_policy(ENDLESS)
    with pytest.raises(asyncio.CancelledError):
        await question


async def test_coroutine_sees_the_view_and_its_answer_counts():
    seen: list[PrecopyView] = []

    async def policy(view: PrecopyView) -> int:
        seen.append(view)
        return 1

    assert await Asked(policy).ask(3, 70) is STOP
    assert (seen[0].iteration, seen[0].dirty_count) == (3, 70)


@pytest.mark.parametrize("answer", [7, None, "stop"])
async def test_answer_that_is_none_is_an_error(answer: object):
    async def policy(view: PrecopyView) -> int:
        return answer  # type: ignore[return-value]

    with pytest.raises(ValueError, match="is not a valid PrecopyAnswer"):
        await Asked(policy).ask(1, 70)


async def test_policy_that_gives_up_is_told_with_what_it_saw():
    job = Asked(policies.Xen(max_iters=2, min_remaining=10, abort_if_busy=True))
    await job.two_passes()
    with pytest.raises(PolicyAborted, match="in pass 2: 5000 pages are di") as it:
        await job.ask(2, 5000)
    assert it.value.iteration == 2
    assert job.actions[-1] == "abort"


async def test_stop_is_held_back_if_the_pause_would_not_end_in_time():
    job = Asked(policies.FirstOf(Later(2), ENDLESS), total=0.03)
    await job.two_passes()
    assert await job.ask(2, 5000) is GO_ON
    assert job.actions == ["go_on", "held_back"]
    assert job.precopy.stop_now()  # an order is an order
    assert await job.ask(3, -1) is STOP


async def test_stop_that_fits_the_deadline_is_not_held_back():
    job = Asked(Later(2), total=600)
    await job.two_passes()
    assert await job.ask(2, 5000) is STOP


class Later(Policy):
    """Stops after so many passes, once they were looked at."""

    def __init__(self, passes: int) -> None:
        self.passes = passes

    def decide(self, view: PrecopyView) -> PrecopyAnswer:
        return (
            STOP if view.iteration >= self.passes and view.dirty_count >= 0 else GO_ON
        )


async def test_pass_is_told_with_what_a_stop_would_cost():
    job = Asked(ENDLESS)
    await job.two_passes()
    await job.ask(2, 500)
    told = [each for each in job.events if isinstance(each, PrecopyEvent)]
    assert [each.iteration for each in told] == [0, 1]
    event = told[-1]
    assert (event.pages_sent, event.dirty_found, event.action) == (5000, 500, "go_on")
    assert event.mbps is not None
    expected = 500 * 4096 * 8 / event.mbps / 1e3
    assert event.expected_downtime == pytest.approx(expected)
    figures = job.record.meter.snapshot()
    assert figures.expected_downtime == event.expected_downtime


async def test_what_is_no_policy_is_refused():
    with pytest.raises(UsageError, match="is no policy"):
        Asked(None).precopy.set_policy(policies.Xen)  # type: ignore[arg-type]
