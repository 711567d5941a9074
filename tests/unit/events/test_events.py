"""Events of a job, and how much of them a slow reader loses."""

import pytest

from libxlpy.events import MAX_BEHIND, EventFeed, PhaseEvent

pytestmark = pytest.mark.usefixtures("nothing_blocks")


async def test_slow_reader_loses_the_oldest_events_only():
    feed = EventFeed()
    reader = feed.subscribe()
    for number in range(MAX_BEHIND + 5):
        feed.publish(PhaseEvent(str(number), 0.0))
    feed.close()
    names = [event.name async for event in reader if isinstance(event, PhaseEvent)]
    assert names == [str(number) for number in range(5, MAX_BEHIND + 5)]
