"""Callbacks: names as in Xen's structs, and no exception into C."""

from contextlib import closing

from libxlpy_helper.callbacks import ParentCallbacks, offered_callbacks
from libxlpy_helper.channel import Channel
from libxlpy_helper.outbox import Outbox, Waker
from libxlpy_helper.xen.from_c import RESTORE_CALLBACKS, SAVE_CALLBACKS
from libxlpy_protocol.messages import Checkpoint, Message, Suspend, ToolstackSave
from libxlpy_protocol.table import CALLS, MESSAGES, callback_mask

MIRRORED = {rule.mirrors for rule in MESSAGES.values() if rule.mirrors}


def test_the_structs_members_are_the_tables_mirrored_messages() -> None:
    assert {*SAVE_CALLBACKS, *RESTORE_CALLBACKS} == MIRRORED


def test_mask_gives_the_names_of_xens_callbacks() -> None:
    mask = callback_mask([Suspend, Checkpoint, ToolstackSave])
    assert offered_callbacks(mask) == {"suspend", "checkpoint"}
    assert offered_callbacks(callback_mask(CALLS)) == MIRRORED - {"restore_results"}
    assert offered_callbacks(0) == frozenset()


class FailingChannel(Channel):
    """A channel that fails as a bug of ours would."""

    def __init__(self, let_go: Waker) -> None:
        super().__init__(Outbox(lambda: None), let_go)
        self.asked = 0

    def ask(self, call: Message) -> int | bytes | None:
        self.asked += 1
        raise ZeroDivisionError("a bug")


def test_first_exception_is_kept_and_libxc_gets_failure_values() -> None:
    with closing(Waker()) as let_go:
        get_failure_values(FailingChannel(let_go))


def get_failure_values(channel: FailingChannel) -> None:
    callbacks = ParentCallbacks(channel, Outbox(lambda: None))
    assert callbacks.suspend() == 0
    first = callbacks.error
    assert isinstance(first, ZeroDivisionError)
    assert callbacks.switch_qemu_logdirty(7, False) == -1
    assert callbacks.precopy_policy(1, 2, -3) == -1
    assert callbacks.static_data_done(0) == -1
    assert callbacks.postcopy() == 0
    assert callbacks.checkpoint() == 0
    assert callbacks.wait_checkpoint() == 0
    assert callbacks.error is first
    assert channel.asked == 1  # the others weren't even tried
