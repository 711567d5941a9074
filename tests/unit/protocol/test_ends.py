"""Errors and ends of a session: for ever, and with nothing lost."""

import pytest

from libxlpy_protocol.enums import Mode, Side
from libxlpy_protocol.errors import LocalProtocolError, RemoteProtocolError
from libxlpy_protocol.fields import BODY_MAX
from libxlpy_protocol.messages import (
    Answer,
    Hello,
    Log,
    OpResult,
    Start,
    SwitchQemuLogdirty,
    ToolstackSave,
)
from libxlpy_protocol.session import Event, HelperSession, ParentSession
from tests.support.conversation import (
    EVERY_CALL,
    HELLO,
    Pair,
    hear,
    wire,
)

H, P = Side.HELPER, Side.PARENT


def test_the_good_before_a_bad_frame_comes_first() -> None:
    parent = Pair().start(Mode.SAVE).parent
    log = Log(4, -1, "xc", "last words")
    bad = wire(Answer(1), 1)
    parent.receive(wire(log) * 2 + bad + wire(log))
    assert [parent.next_event(), parent.next_event()] == [Event(log)] * 2
    with pytest.raises(RemoteProtocolError) as info:
        parent.next_event()
    assert info.value.frame == bad


def test_error_is_for_ever() -> None:
    parent = ParentSession()
    with pytest.raises(RemoteProtocolError) as first:
        hear(parent, bytes(4))
    for data in (b"", b"x", wire(HELLO)):
        with pytest.raises(RemoteProtocolError) as later:
            hear(parent, data)
        assert str(later.value) == str(first.value)
        assert later.value.frame == first.value.frame
    with pytest.raises(LocalProtocolError, match="in state ERROR"):
        parent.send(HELLO)


def test_nothing_comes_after_end_of_file() -> None:
    helper = HelperSession()
    hear(helper, b"")
    with pytest.raises(LocalProtocolError, match="after end of file"):
        hear(helper, b"x")
    with pytest.raises(LocalProtocolError, match="in state CLOSED"):
        helper.send(HELLO)


def test_a_refused_send_changes_nothing() -> None:
    pair = Pair().start(Mode.SAVE)
    with pytest.raises(LocalProtocolError, match="domid"):
        pair.helper.send(SwitchQemuLogdirty(-1, True))
    with pytest.raises(LocalProtocolError):
        pair.helper.send(OpResult(0), 1)
    assert pair.helper.last_call_id == 0
    pair.call()


def test_the_limit_of_the_peer_is_kept() -> None:
    pair = Pair()
    small = Hello(1, 1, "small", max_body=BODY_MAX)
    pair.say(H, small)
    pair.say(P, HELLO)
    pair.say(P, Start(Mode.SAVE, callback_mask=EVERY_CALL))
    pair.say(H, ToolstackSave(5))
    with pytest.raises(LocalProtocolError, match=f"the peer takes {BODY_MAX}"):
        pair.parent.send(Answer(bytes(BODY_MAX)), 1)
    pair.say(P, Answer(bytes(BODY_MAX - 64)), 1)


def test_only_messages_are_sent() -> None:
    with pytest.raises(LocalProtocolError, match="int is no message"):
        ParentSession().send(7)  # type: ignore[arg-type]
