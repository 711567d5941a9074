"""The ledger by itself: it does not lean on the transition table."""

import pytest

from libxlpy_protocol.ledger import Ledger, RefusedError
from libxlpy_protocol.messages import Answer, DomainOp, OpResult, Suspend
from libxlpy_protocol.table import callback_mask


def test_one_call_at_a_time() -> None:
    ledger = Ledger()
    ledger.callback_mask = callback_mask([Suspend])
    ledger.call(Suspend, 1)
    with pytest.raises(RefusedError, match="while call 1 is open"):
        ledger.call(Suspend, 2)
    ledger.answer(Answer(1), 1)
    ledger.call(Suspend, 2)
    assert ledger.open_call == 2


def test_no_answer_without_a_call() -> None:
    with pytest.raises(RefusedError, match="open is None"):
        Ledger().answer(Answer(1), 0)


def test_a_refused_question_leaves_no_trace() -> None:
    ledger = Ledger()
    with pytest.raises(RefusedError):
        ledger.call(Suspend, 1)
    with pytest.raises(RefusedError):
        ledger.op(DomainOp, 2)
    with pytest.raises(RefusedError):
        ledger.result(OpResult, 1)
    assert (ledger.calls, ledger.ops, ledger.open_call) == (0, 0, None)
    assert ledger.open_ops == frozenset()
