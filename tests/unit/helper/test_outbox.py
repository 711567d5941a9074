"""The outbox: order, what is kept, what is coalesced, what is dropped."""

import threading

import pytest

from libxlpy_helper.outbox import LOGS_MAX, PROGRESS_MAX, Outbox
from libxlpy_protocol.messages import Log, Message, Phase, Progress, Stat, Suspend


@pytest.fixture
def outbox() -> Outbox:
    return Outbox(lambda: None)


def log(text: object) -> Log:
    return Log(3, -1, "xc", str(text))


def frames(done: int, what: str = "Frames") -> Progress:
    return Progress("xc", what, done, 100)


def stat(pages: int) -> Stat:
    return Stat(0, "libxc", 0, pages, 0, -1, 0, 0, 0, 0)


def taken(outbox: Outbox) -> list[Message]:
    messages = []
    while (entry := outbox.take()) is not None:
        messages.append(entry.message)
    assert outbox.is_empty
    return messages


def test_everything_leaves_in_the_order_in_which_it_came(outbox: Outbox) -> None:
    sent = [log(1), Phase("a"), frames(1), stat(1), log(2), Suspend(), frames(1, "b")]
    for message in sent:
        outbox.put(message)
    assert taken(outbox) == sent


def test_call_ids_stay_with_their_message(outbox: Outbox) -> None:
    outbox.put(Phase("a"), 7)
    entry = outbox.take()
    assert entry is not None
    assert (entry.message, entry.call_id) == (Phase("a"), 7)


def test_progress_keeps_the_latest_of_each_kind(outbox: Outbox) -> None:
    for message in (frames(1), frames(1, "b"), frames(2), log(1), frames(3)):
        outbox.put(message)
    assert taken(outbox) == [frames(1, "b"), log(1), frames(3)]


def test_kinds_of_progress_are_bounded(outbox: Outbox) -> None:
    for number in range(1000):
        outbox.put(frames(number, f"Frames iteration {number}"))
    kept = taken(outbox)
    assert len(kept) == PROGRESS_MAX + 1
    assert kept[-1] == frames(999, "Frames iteration 999")


def test_heartbeats_keep_the_latest(outbox: Outbox) -> None:
    outbox.put(stat(1))
    outbox.put(stat(2))
    assert taken(outbox) == [stat(2)]


def test_oldest_log_lines_are_dropped_and_counted(outbox: Outbox) -> None:
    outbox.put(Phase("first"))
    for number in range(LOGS_MAX + 10):
        outbox.put(log(number))
    outbox.put(Phase("last"))
    assert outbox.dropped == 10
    kept = taken(outbox)
    lines = [log(number) for number in range(10, LOGS_MAX + 10)]
    assert kept == [Phase("first"), *lines, Phase("last")]


def test_each_message_wakes_the_sender() -> None:
    woken: list[int] = []
    outbox = Outbox(lambda: woken.append(1))
    outbox.put(log(1))
    outbox.put(Suspend())
    assert len(woken) == 2


def test_threads_may_put_at_once(outbox: Outbox) -> None:
    def put(name: str) -> None:
        for number in range(2000):
            outbox.put(Phase(f"{name} {number}"))

    threads = [threading.Thread(target=put, args=(name,)) for name in "abc"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    names = [message.name for message in taken(outbox) if isinstance(message, Phase)]
    assert len(names) == 6000
    for name in "abc":
        own = [int(text[2:]) for text in names if text.startswith(name)]
        assert own == list(range(2000))
