"""A call by its short way: who asks writes and reads it, the control thread all else.

The test is the control thread, and the parent too.
"""

import os
import select
import threading
from collections.abc import Iterator

import pytest

from libxlpy_helper.channel import Channel
from libxlpy_helper.harden import ControlPipes
from libxlpy_helper.line import Line
from libxlpy_helper.outbox import Outbox, Waker
from libxlpy_helper.parent_wire import Wire
from libxlpy_helper.wire import ParentGoneError
from libxlpy_protocol.enums import Mode, Op
from libxlpy_protocol.errors import RemoteProtocolError
from libxlpy_protocol.hello import MIN_VERSION, PACKAGE, VERSION
from libxlpy_protocol.messages import (
    Abort,
    Answer,
    DomainOp,
    Hello,
    Message,
    PrecopyPolicy,
    Start,
    Stat,
    Suspend,
    ToolstackSave,
)
from libxlpy_protocol.session import ParentSession
from libxlpy_protocol.table import CALLS, callback_mask

HELLO = Hello(VERSION, MIN_VERSION, PACKAGE)
STAT = Stat(0, "libxc", 0, 0, 0, -1, 0, 0, 0, 0)
#: Seconds after which nothing comes any more.
LIMIT = 20.0
POLICY = PrecopyPolicy(0, 1, 2)
CALLS_MADE = 300


class Helper:
    """The helper's parts, and both ends of its pipes; a save is under way."""

    def __init__(self) -> None:
        read_fd, self.to_helper = os.pipe2(os.O_CLOEXEC)
        self.of_helper, write_fd = os.pipe2(os.O_CLOEXEC)
        for fd in (read_fd, write_fd):
            os.set_blocking(fd, False)
        self.parent = ParentSession()
        self.waker, self.let_go = Waker(), Waker()
        self.outbox = Outbox(self.waker.wake)
        self.channel = Channel(self.outbox, self.let_go)
        self.wire = Wire(ControlPipes(read_fd, write_fd), self.outbox, HELLO)
        self.poll = select.epoll()
        self.poll.register(read_fd, select.EPOLLIN)
        self.poll.register(self.waker.fd, select.EPOLLIN)
        self.may_go_on = True
        self.channel.line = Line(
            *(self.wire, self.outbox, self.let_go, self.poll),
            lambda: self.may_go_on,
        )
        self.result: int | bytes | None = 99
        self.thread = threading.Thread(target=lambda: None)
        self.wire.write(calls=True)
        self.hear(Hello)
        self.say(HELLO)
        self.say(Start(Mode.SAVE, callback_mask=callback_mask(CALLS)))
        assert len(list(self.wire.read())) == 2

    def close(self) -> None:
        self.hang_up()
        self.channel.close()
        self.thread.join()
        os.close(self.of_helper)
        for fd in (self.wire.read_fd, self.wire.write_fd):
            os.close(fd)
        self.poll.close()
        self.waker.close()
        self.let_go.close()

    # -- libxenguest's thread ------------------------------------------------------

    def ask(self, call: Message) -> None:
        self.thread = threading.Thread(target=self._ask, args=(call,))
        self.thread.start()

    def _ask(self, call: Message) -> None:
        self.result = self.channel.ask(call)

    def answered(self) -> int | bytes | None:
        self.thread.join(LIMIT)
        assert not self.thread.is_alive()
        return self.result

    # -- the parent ----------------------------------------------------------------

    def say(self, message: Message, call_id: int = 0) -> None:
        os.write(self.to_helper, self.parent.send(message, call_id))

    def hear(self, kind: type[Message]) -> int:
        """Read until there is a message; give its call id."""
        while (event := self.parent.next_event()) is None:
            assert select.select([self.of_helper], [], [], LIMIT)[0]
            self.parent.receive(os.read(self.of_helper, 4096))
        assert isinstance(event.message, kind)
        return event.call_id

    def answer_all(self, heard: dict[type[Message], int]) -> None:
        """Count what is heard, and have libxc go on, until end of file."""
        while data := os.read(self.of_helper, 1 << 16):
            self.parent.receive(data)
            for event in iter(self.parent.next_event, None):
                heard[type(event.message)] += 1
                if event.call_id:
                    self.say(Answer(0), event.call_id)

    def hang_up(self) -> None:
        if self.to_helper >= 0:
            os.close(self.to_helper)
            self.to_helper = -1

    # -- the control thread --------------------------------------------------------

    def woken(self, seconds: float = LIMIT) -> set[int]:
        """Wait as the control thread does; give what its poll found."""
        return {fd for fd, _ in self.poll.poll(seconds)}


@pytest.fixture
def helper() -> Iterator[Helper]:
    helper = Helper()
    yield helper
    helper.close()


@pytest.mark.parametrize(("call", "value"), [(POLICY, 0), (Suspend(), 1)])
def test_plain_answer_needs_no_control_thread(
    helper: Helper, call: Message, value: int
) -> None:
    for _ in range(3):
        helper.ask(call)
        helper.say(Answer(value), helper.hear(type(call)))
        assert helper.answered() == value
    assert helper.woken(0) == set()


def test_control_thread_reads_again_after_the_answer(helper: Helper) -> None:
    helper.ask(Suspend())
    helper.say(Answer(1), helper.hear(Suspend))
    assert helper.answered() == 1
    helper.say(DomainOp(Op.PAUSE, 7))
    assert helper.woken() == {helper.wire.read_fd}
    assert [event.message for event in helper.wire.read()] == [DomainOp(Op.PAUSE, 7)]


@pytest.mark.parametrize(
    ("call", "value"), [(POLICY, -1), (POLICY, 1), (Suspend(), 0), (POLICY, 0)]
)
def test_answer_before_which_the_guest_is_looked_at_goes_to_the_control_thread(
    helper: Helper, call: Message, value: int
) -> None:
    helper.may_go_on = False
    helper.ask(call)
    helper.say(Answer(value), helper.hear(type(call)))
    assert helper.woken() == {helper.waker.fd}
    assert [event.message for event in helper.wire.read()] == [Answer(value)]
    assert helper.thread.is_alive()
    helper.channel.answer(value)
    assert helper.answered() == value


def test_bytes_are_answered_too(helper: Helper) -> None:
    data = bytes(300_000)
    helper.ask(ToolstackSave(7))
    call_id = helper.hear(ToolstackSave)
    writer = threading.Thread(target=helper.say, args=(Answer(data), call_id))
    writer.start()
    assert helper.waker.fd in helper.woken()
    (event,) = list(helper.wire.read())
    assert event.message == Answer(data)
    helper.channel.answer(data)
    assert helper.answered() == data
    writer.join()


def test_answer_may_come_byte_by_byte(helper: Helper) -> None:
    helper.ask(Suspend())
    frame = helper.parent.send(Answer(1), helper.hear(Suspend))
    for number in range(len(frame)):
        os.write(helper.to_helper, frame[number : number + 1])
    assert helper.answered() == 1


def test_question_meanwhile_and_the_answer_behind_it_are_handed_over_in_order(
    helper: Helper,
) -> None:
    helper.ask(Suspend())
    call_id = helper.hear(Suspend)
    op = helper.parent.send(DomainOp(Op.PAUSE, 7))
    os.write(helper.to_helper, op + helper.parent.send(Answer(1), call_id))
    assert helper.waker.fd in helper.woken()
    messages = [event.message for event in helper.wire.read()]
    assert messages == [DomainOp(Op.PAUSE, 7), Answer(1)]
    helper.channel.answer(1)
    assert helper.answered() == 1


def test_what_follows_the_answer_is_handed_over(helper: Helper) -> None:
    helper.ask(Suspend())
    answer = helper.parent.send(Answer(1), helper.hear(Suspend))
    op = helper.parent.send(DomainOp(Op.PAUSE, 7))
    abort = helper.parent.send(Abort("enough"))
    os.write(helper.to_helper, answer + op + abort)
    assert helper.answered() == 1
    assert helper.waker.fd in helper.woken()
    messages = [event.message for event in helper.wire.read()]
    assert messages == [DomainOp(Op.PAUSE, 7), Abort("enough")]


def test_abort_while_a_call_waits(helper: Helper) -> None:
    helper.ask(POLICY)
    helper.hear(PrecopyPolicy)
    helper.say(Abort("enough"))
    assert helper.waker.fd in helper.woken()
    assert [event.message for event in helper.wire.read()] == [Abort("enough")]
    helper.channel.abort()
    assert helper.answered() == -1


def test_abort_by_a_signal_while_a_call_waits(helper: Helper) -> None:
    helper.ask(POLICY)
    helper.hear(PrecopyPolicy)
    helper.channel.abort()
    assert helper.answered() == -1
    helper.say(Abort("told"))  # the control thread reads again
    assert helper.wire.read_fd in helper.woken()


def test_no_call_goes_out_once_an_abort_was_read(helper: Helper) -> None:
    helper.say(Abort("enough"))
    events = helper.wire.read()
    assert isinstance(next(events).message, Abort)
    helper.ask(Suspend())  # before the control thread could do anything about it
    assert helper.woken() == {helper.waker.fd}
    helper.channel.abort()
    helper.wire.write(calls=False)
    assert helper.answered() == 0
    assert not select.select([helper.of_helper], [], [], 0)[0]


def test_parent_that_dies_while_a_call_waits_is_seen(helper: Helper) -> None:
    helper.ask(Suspend())
    helper.hear(Suspend)
    helper.hang_up()
    assert helper.wire.read_fd in helper.woken()
    with pytest.raises(ParentGoneError):
        helper.wire.read()
    helper.wire.leave(helper.poll)
    helper.channel.close()
    assert helper.answered() == 0
    assert helper.woken(0) <= {helper.waker.fd}


def test_parent_that_reads_no_more_is_seen(helper: Helper) -> None:
    spare = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
    os.dup2(spare, helper.of_helper, inheritable=False)
    os.close(spare)
    helper.ask(Suspend())
    assert helper.waker.fd in helper.woken()
    with pytest.raises(ParentGoneError):
        helper.wire.write(calls=True)
    helper.channel.close()
    assert helper.answered() == 0


def test_answer_of_another_call_breaks_the_protocol(helper: Helper) -> None:
    helper.ask(Suspend())
    frame = bytearray(helper.parent.send(Answer(1), helper.hear(Suspend)))
    assert frame[6] == 1  # the call id
    frame[6] = 2
    os.write(helper.to_helper, frame)
    assert helper.waker.fd in helper.woken()
    with pytest.raises(RemoteProtocolError, match="call 2, open is 1"):
        list(helper.wire.read())
    assert helper.thread.is_alive()
    helper.channel.close()
    assert helper.answered() == 0


def test_call_that_a_full_pipe_does_not_take_is_the_control_threads(
    helper: Helper,
) -> None:
    os.set_blocking(helper.of_helper, False)
    while not helper.wire.is_blocked:
        helper.outbox.put(STAT)
        helper.wire.write(calls=True)
    helper.waker.clear()
    helper.ask(Suspend())
    assert helper.woken() == {helper.waker.fd}
    kinds = []
    while Suspend not in kinds:
        helper.wire.write(calls=True)
        helper.parent.receive(os.read(helper.of_helper, 1 << 20))
        kinds += [type(e.message) for e in iter(helper.parent.next_event, None)]
    helper.say(Answer(1), 1)
    assert helper.wire.read_fd in helper.woken()
    assert [event.message for event in helper.wire.read()] == [Answer(1)]
    helper.channel.answer(1)
    assert helper.answered() == 1


def test_frames_of_two_threads_never_mix(helper: Helper) -> None:
    """Heartbeats by one, calls by the other; the parent refuses a frame that is bad."""
    heard = dict.fromkeys([Stat, PrecopyPolicy], 0)
    ended = threading.Event()

    def beat() -> None:
        while not ended.is_set():
            helper.outbox.put(STAT)
            helper.wire.write(calls=True)
        os.close(helper.wire.write_fd)  # the parent may go, too

    parent = threading.Thread(target=helper.answer_all, args=(heard,))
    control = threading.Thread(target=beat)
    for thread in (parent, control):
        thread.start()
    call_again_and_again(helper)
    ended.set()
    for thread in (control, parent):
        thread.join()
    helper.wire.write_fd = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
    assert heard[PrecopyPolicy] == CALLS_MADE
    assert heard[Stat] > 0


def call_again_and_again(helper: Helper) -> None:
    for _ in range(CALLS_MADE):
        helper.ask(POLICY)
        while helper.thread.is_alive():
            take_answers(helper)
        assert helper.answered() == 0


def take_answers(helper: Helper) -> None:
    """Do as the control thread does with what the caller could not read itself."""
    ready = helper.woken(0.01)
    if helper.waker.fd in ready:
        helper.waker.clear()
    if helper.wire.is_handed or helper.wire.read_fd in ready:
        for event in helper.wire.read():
            assert event.message == Answer(0)
            helper.channel.answer(0)
