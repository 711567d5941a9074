"""Each event goes to one who wants it; none is lost."""

import pytest

from libxlpy.errors import UsageError
from libxlpy.libxl.events import EventQueue, LibxlEvent


def event(number: int) -> LibxlEvent:
    return LibxlEvent(4, 7, number, 0, None)


def test_oldest_first_and_by_predicate():
    queue = EventQueue()
    for number in (1, 2, 3):
        queue.put(event(number))
    found = queue.take(lambda each: each.for_user == 2)
    assert found is not None
    assert found.for_user == 2
    assert [queue.take(), queue.take(), queue.take()] == [event(1), event(3), None]


def test_waiting_ones_get_only_what_they_want():
    queue = EventQueue()
    two = queue.expect(lambda each: each.for_user == 2)
    any_one = queue.expect()
    queue.put(event(1))
    assert any_one.result(0) == event(1)
    assert not two.done()
    queue.put(event(2))
    assert two.result(0) == event(2)
    assert queue.take() is None


def test_event_of_one_who_gave_up_is_there_for_others():
    queue = EventQueue()
    early, late = queue.expect(), queue.expect()
    queue.put(event(1))
    queue.give_up(early)
    queue.give_up(late)
    queue.put(event(2))
    assert [queue.take(), queue.take()] == [event(1), event(2)]


def test_closing_ends_all_waiting():
    queue = EventQueue()
    before = queue.expect()
    queue.put(event(1))
    queue.put(event(2))
    waiting = queue.expect(lambda each: each.for_user == 9)
    queue.close()
    assert before.result(0) == event(1)
    for future in (waiting, queue.expect()):
        with pytest.raises(UsageError, match="freed"):
            future.result(0)
    queue.put(event(3))
    assert queue.take() is None
