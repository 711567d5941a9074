"""One call at a time: answered by the parent, or by its failure value."""

import threading

import pytest

from libxlpy_helper.channel import Channel
from libxlpy_helper.outbox import Outbox, Waker
from libxlpy_protocol.messages import (
    Message,
    PrecopyPolicy,
    StaticDataDone,
    Suspend,
    SwitchQemuLogdirty,
    ToolstackRestore,
    ToolstackSave,
)
from libxlpy_protocol.table import CALLS, MESSAGES

ARGUMENTS: dict[type[Message], tuple[object, ...]] = {
    SwitchQemuLogdirty: (7, True),
    StaticDataDone: (0,),
    ToolstackSave: (7,),
    PrecopyPolicy: (0, 0, -1),
    ToolstackRestore: (7, b""),
}


class Asked:
    """A channel whose call is under way in another thread, as libxc's is."""

    def __init__(self, call: Message) -> None:
        self.is_out = threading.Event()
        self.let_go = Waker()
        self.channel = Channel(Outbox(self.is_out.set), self.let_go)
        self.result: int | bytes | None = 99
        self.thread = threading.Thread(target=self.ask, args=(call,))
        self.thread.start()
        assert self.is_out.wait(10)

    def ask(self, call: Message) -> None:
        self.result = self.channel.ask(call)

    def get(self) -> int | bytes | None:
        self.thread.join()
        self.let_go.close()
        return self.result


@pytest.mark.parametrize("value", [0, -5, b"data", None])
def test_answer_is_what_the_parent_said(value: int | bytes | None) -> None:
    asked = Asked(Suspend())
    asked.channel.answer(value)
    assert asked.get() == value


@pytest.mark.parametrize("kind", CALLS)
def test_closing_answers_the_open_call_and_all_later_ones(
    kind: type[Message],
) -> None:
    call = kind(*ARGUMENTS.get(kind, ()))
    asked = Asked(call)
    asked.channel.close()
    assert asked.get() == MESSAGES[kind].failure
    assert asked.channel.ask(call) == MESSAGES[kind].failure


def test_answer_that_crossed_the_abort_is_left_out() -> None:
    asked = Asked(Suspend())
    asked.channel.close()
    assert asked.get() == 0
    asked.channel.answer(1)
    assert asked.channel.ask(Suspend()) == 0


def test_it_knows_whether_the_guest_may_have_been_asked() -> None:
    asked = Asked(PrecopyPolicy(0, 0, -1))
    assert not asked.channel.suspend_asked
    asked.channel.close()
    asked.get()
    asked.channel.ask(Suspend())
    assert not asked.channel.suspend_asked  # never left the helper
    suspending = Asked(Suspend())
    assert suspending.channel.suspend_asked
    suspending.channel.answer(1)
    suspending.get()
