"""Domain ops: any order, not too many, ids of their own."""

import pytest

from libxlpy_protocol.enums import Mode, Op, Side
from libxlpy_protocol.errors import LocalProtocolError, RemoteProtocolError
from libxlpy_protocol.ledger import MAX_OPS
from libxlpy_protocol.messages import Answer, DomainOp, OpResult
from tests.support.conversation import (
    Pair,
    hear,
    wire,
)

H, P = Side.HELPER, Side.PARENT


def test_ops_are_answered_in_any_order() -> None:
    pair = Pair().start(Mode.SAVE)
    for domid in range(MAX_OPS):
        pair.say(P, DomainOp(Op.INFO, domid))
        assert pair.parent.last_call_id == domid + 1
    assert pair.helper.open_ops == set(range(1, MAX_OPS + 1))
    for call_id in (3, 1, 8, 2, 7, 4, 6, 5):
        pair.say(H, OpResult(0), call_id)
    assert pair.parent.open_ops == frozenset()
    pair.say(P, DomainOp(Op.PAUSE, 5))
    assert pair.parent.last_call_id == MAX_OPS + 1


def test_too_many_ops() -> None:
    pair = Pair().start(Mode.OPS)
    for _ in range(MAX_OPS):
        pair.say(P, DomainOp(Op.INFO, 5))
    with pytest.raises(LocalProtocolError, match="while 8 are open"):
        pair.parent.send(DomainOp(Op.INFO, 5))
    with pytest.raises(RemoteProtocolError, match="while 8 are open"):
        hear(pair.helper, wire(DomainOp(Op.INFO, 5), MAX_OPS + 1))


@pytest.mark.parametrize("call_id", [0, 1, 3])
def test_op_ids_count_up(call_id: int) -> None:
    pair = Pair().start(Mode.OPS)
    pair.say(P, DomainOp(Op.INFO, 5))
    pair.say(H, OpResult(0), 1)
    with pytest.raises(RemoteProtocolError, match=f"has id {call_id}, not 2"):
        hear(pair.helper, wire(DomainOp(Op.INFO, 5), call_id))


@pytest.mark.parametrize("call_id", [0, 1, 3])
def test_result_of_no_open_op(call_id: int) -> None:
    pair = Pair().start(Mode.OPS)
    for _ in range(2):
        pair.say(P, DomainOp(Op.INFO, 5))
    pair.say(H, OpResult(0), 1)
    text = f"for op {call_id}, which is not open"
    with pytest.raises(LocalProtocolError, match=text):
        pair.helper.send(OpResult(0), call_id)
    with pytest.raises(RemoteProtocolError, match=text):
        hear(pair.parent, wire(OpResult(0), call_id))


def test_ops_and_calls_have_ids_of_their_own() -> None:
    pair = Pair().start(Mode.SAVE)
    pair.say(P, DomainOp(Op.INFO, 5))
    pair.call()
    assert pair.parent.last_call_id == pair.helper.last_call_id == 1
    pair.say(H, OpResult(0), 1)
    pair.say(P, Answer(1), 1)
