"""The message table says what Xen and our design say."""

import pytest

from libxlpy_protocol import messages
from libxlpy_protocol.enums import Flow, Mode, Side
from libxlpy_protocol.fields import ITEMS_MAX
from libxlpy_protocol.messages import (
    Answer,
    Log,
    Message,
    Suspend,
    SwitchQemuLogdirty,
    ToolstackSave,
)
from libxlpy_protocol.table import (
    CALLS,
    FIELDS,
    MESSAGES,
    NUMBERS,
    callback_mask,
    failure_answer,
)
from tests.support.conversation import SAMPLES

# number, name, sender, flow, modes (Save Restore reMus Ops), once, cap in KiB,
# failure value, Xen's callback
TABLE = """
 1 Log                helper notice    SRMO -    64    -  -
 2 Progress           helper notice    SRM  -    64    -  -
 3 Suspend            helper call      SM   -    64    0  suspend
 4 Postcopy           helper call      M    -    64    0  postcopy
 5 Checkpoint         helper call      RM   -    64    0  checkpoint
 6 WaitCheckpoint     helper call      RM   -    64    0  wait_checkpoint
 7 SwitchQemuLogdirty helper call      SM   -    64   -1  switch_qemu_logdirty
 8 StaticDataDone     helper call      R    -    64   -1  static_data_done
 9 RestoreResults     helper notice    R    once 64    -  restore_results
10 Complete           helper notice    SRM  once 64    -  -
32 Hello              both   hello     SRMO once 64    -  -
33 Start              parent start     SRMO once 64    -  -
34 Answer             parent answer    SRM  -    1024  -  -
35 Abort              parent notice    SRM  -    64    -  -
36 ToolstackSave      helper call      SM   -    64  nil  -
37 PrecopyPolicy      helper call      SM   -    64   -1  precopy_policy
38 Stat               helper notice    SRMO -    64    -  -
39 Phase              helper notice    SRM  -    64    -  -
40 DomainOp           parent op        SRMO -    64    -  -
41 OpResult           helper op_result SRMO -    64    -  -
42 ToolstackRestore   helper call      R    -    1024 -1  -
43 Release            parent notice    SRM  once 64    -  -
44 SaveLibxc          helper call      S    once 64   -1  -
45 AskToSuspend       parent op        SM   -    64    -  -
46 SuspendEvent       helper notice    SM   -    64    -  -
47 StopAndCopy        helper notice    SM   -    64    -  -
48 Alive              parent op        SM   -    64    -  -
49 LetGo              parent op        SM   -    64    -  -
50 FailOver           parent notice    R    once 64    -  -
"""
LETTERS = {
    "S": Mode.SAVE,
    "R": Mode.RESTORE,
    "M": Mode.REMUS,
    "O": Mode.OPS,
}
ROWS = [line.split() for line in TABLE.strip().splitlines()]


@pytest.mark.parametrize("row", ROWS, ids=[row[1] for row in ROWS])
def test_row(row: list[str]) -> None:
    number, name, sender, flow, modes, once, cap, failure, mirrors = row
    kind = getattr(messages, name)
    rule = MESSAGES[kind]
    assert rule.number == int(number)
    assert NUMBERS[int(number)] is kind
    assert rule.sender is Side[sender.upper()]
    assert rule.flow is Flow[flow.upper()]
    assert rule.modes == {LETTERS[letter] for letter in modes}
    assert rule.once is (once == "once")
    extra = 64 if cap == "1024" else 0  # room for number, id and length
    assert rule.max_body == int(cap) * 1024 + extra
    assert rule.mirrors == ("" if mirrors == "-" else mirrors)
    if rule.flow is Flow.CALL:
        value = None if failure == "nil" else int(failure)
        assert rule.failure == value
        assert failure_answer(kind) == Answer(value)
        assert type(value) in rule.answer_types


def test_table_has_no_other_rows() -> None:
    assert [kind.__name__ for kind in MESSAGES] == [row[1] for row in ROWS]
    assert len(NUMBERS) == len(MESSAGES) == len(ROWS)
    assert set(SAMPLES) == set(MESSAGES)


def test_no_message_has_more_fields_than_an_array_may_have() -> None:
    for kind in MESSAGES:
        assert 2 + len(FIELDS[kind]) <= ITEMS_MAX


def test_every_number_fits_one_byte_and_the_callback_mask() -> None:
    # One byte: framing looks at it before it takes a large body.
    assert all(0 < number < 64 for number in NUMBERS)


def test_unions_name_every_message() -> None:
    assert set(messages.AnyMessage.__args__) == set(MESSAGES)
    assert set(messages.CallMessage.__args__) == set(CALLS)
    for union, side in (
        (messages.HelperMessage, Side.HELPER),
        (messages.ParentMessage, Side.PARENT),
    ):
        assert set(union.__args__) == {
            kind for kind, rule in MESSAGES.items() if side in rule.sender
        }


def test_callback_mask_has_the_bits_of_the_numbers() -> None:
    assert callback_mask([]) == 0
    assert callback_mask([Suspend, SwitchQemuLogdirty]) == 1 << 3 | 1 << 7
    assert callback_mask([Suspend, Suspend]) == 1 << 3
    assert callback_mask([ToolstackSave]) == 1 << 36


def test_only_calls_have_a_failure_answer() -> None:
    with pytest.raises(ValueError, match="Log is no call"):
        failure_answer(Log)


def test_messages_are_immutable_and_carry_nothing_else() -> None:
    for kind, sample in SAMPLES.items():
        assert tuple(vars(sample)) == kind.names()
        with pytest.raises(AttributeError):
            sample.more = 1  # type: ignore[attr-defined]
        assert issubclass(kind, Message)
        assert hash(sample) == hash(sample)
