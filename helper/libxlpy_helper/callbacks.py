"""What libxc asks during a save or restore, put to the parent.

No exception crosses C: the first one is kept for whoever called libxc, and libxc gets
the callback's failure value, as it does for every callback after that.
"""

from libxlpy_helper.channel import Channel
from libxlpy_helper.outbox import Outbox
from libxlpy_protocol.messages import (
    Checkpoint,
    Message,
    Postcopy,
    PrecopyPolicy,
    RestoreResults,
    StaticDataDone,
    Suspend,
    SwitchQemuLogdirty,
    WaitCheckpoint,
)
from libxlpy_protocol.table import CALLS, MESSAGES


def offered_callbacks(callback_mask: int) -> frozenset[str]:
    """Return the names of Xen's callbacks that the parent answers."""
    rules = [MESSAGES[call] for call in CALLS]
    return frozenset(
        rule.mirrors
        for rule in rules
        if rule.mirrors and callback_mask & 1 << rule.number
    )


class ParentCallbacks:
    """The callbacks of one operation; ``error`` is the first exception of any."""

    def __init__(self, channel: Channel, outbox: Outbox) -> None:
        self.error: BaseException | None = None
        self._channel = channel
        self._outbox = outbox

    def suspend(self) -> int:
        """Quiesce the guest; 1 done, 0 failed."""
        return self._ask(Suspend())

    def precopy_policy(self, iteration: int, written: int, dirty: int) -> int:
        """Decide on the next precopy round; -1 abort, 0 go on, 1 stop and copy."""
        return self._ask(PrecopyPolicy(iteration, written, max(dirty, -1)))

    def postcopy(self) -> int:
        """Resume the guest after a checkpoint; 1 go on, 0 stop."""
        return self._ask(Postcopy())

    def checkpoint(self) -> int:
        """End a checkpoint; 1 go on, 0 stop, restore: 2 fail over."""
        return self._ask(Checkpoint())

    def wait_checkpoint(self) -> int:
        """Wait for the next checkpoint; 1 go on, 0 stop."""
        return self._ask(WaitCheckpoint())

    def switch_qemu_logdirty(self, domid: int, enable: bool) -> int:
        """Switch qemu's dirty logging; 0 done."""
        return self._ask(SwitchQemuLogdirty(domid, enable))

    def static_data_done(self, missing: int) -> int:
        """Tell which static data the stream lacks; 0 done."""
        return self._ask(StaticDataDone(missing))

    def restore_results(self, store_gfn: int, console_gfn: int) -> None:
        """Tell the rings' frames early; libxc does so for COLO only."""
        self._outbox.put(RestoreResults(store_gfn, console_gfn))

    def _ask(self, call: Message) -> int:
        failure = MESSAGES[type(call)].failure
        assert isinstance(failure, int)
        if self.error is not None:
            return failure
        try:
            return self._channel.ask_int(call)
        except BaseException as exc:  # it must not cross C
            self.error = exc
            return failure
