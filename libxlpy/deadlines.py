"""Every wait of a job is bounded; each bound has a name that the error repeats."""

from collections.abc import Mapping

from libxlpy.errors import UsageError
from libxlpy_protocol.messages import Message, SaveLibxc, Suspend, SwitchQemuLogdirty
from libxlpy_protocol.table import MESSAGES
from libxlpy_protocol.value import Value

#: Seconds on top of the sum of the single deadlines of a callback's steps.
SLACK = 5.0


class Deadlines(Value, kw_only=True):
    """Seconds a job waits for each thing; None waits for ever (last two only)."""

    #: Spawn asked for until the helper's program runs: its disk may not answer.
    spawn: float = 30.0
    #: Helper spawned until its hello, or the first byte of Xen's own, was read.
    hello: float = 60.0
    #: Before a restore: its file is looked through up to END, headers only.
    check: float = 600.0
    #: ``control/shutdown`` = suspend written until the guest acknowledges (as libxl).
    suspend_ack: float = 60.0
    #: Guest acknowledged, or was asked by what it can't acknowledge, until the
    #: hypervisor says shutdown(suspend) (as libxl).
    suspend: float = 60.0
    #: A guest that was told that it migrates holds that back; then it is suspended.
    guest_hold: float = 10.0
    #: One QMP command, connecting included.
    qemu: float = 10.0
    #: One request to xenstored.
    xenstore: float = 10.0
    #: One hypercall made by a helper for us.
    domain_op: float = 10.0
    #: Libxenlight making a domain, or its devices, while its memory is not read (Xen
    #: only); above the bounds that it has itself for scripts and device models. Before
    #: that, dom0 giving memory for it.
    build: float = 240.0
    #: Libxenlight removing a domain with all its devices (Xen only).
    destroy: float = 120.0
    #: One callback supplied by the caller.
    callback: float = 60.0
    #: Xen's name of a callback -> seconds, in place of what bounds it otherwise.
    per_callback: Mapping[str, float] = {}
    #: Between two signs of life of the helper's control thread (sent twice a second).
    heartbeat: float = 10.0
    #: Between two signs of life of ours, while the guest is suspended by a save or a
    #: migration: if we are stopped, or our event loop stands, for longer than that, the
    #: helper lets the guest run again.
    parent_silent: float = 30.0
    #: First byte of a message until its last; Xen's own helper only, which has no
    #: heartbeat.
    message: float = 10.0
    #: Stream could take bytes and Xen's own helper writes none (callbacks don't count).
    stall: float = 60.0
    #: The guest is suspended and the stream moves by not one byte (callbacks don't
    #: count): a reader that has stopped must not keep the guest.
    stop_and_copy: float = 45.0
    #: The other end of a migration is connected to, and there.
    peer_ready: float = 60.0
    #: It has the whole stream until its copy is whole, with devices, and paused.
    peer_built: float = 120.0
    #: It says what is due at once.
    peer_answer: float = 60.0
    #: Between two signs of life of it (sent once a second; not with xl's handshake).
    peer_silent: float = 15.0
    #: All hooks before a migration at one end, and all after it.
    hooks: float = 30.0
    #: The fence of a backup says whether the primary is gone; stonith takes its time.
    fence: float = 120.0
    #: A domain that was received runs until its interfaces are announced: five rounds
    #: in 0.8 s, and more until its drivers are connected. What is not by then is told.
    announce: float = 10.0
    #: The stream is complete, its file is written to the disk.
    flush: float = 600.0
    #: Complete received until the helper is gone.
    exit_after_complete: float = 5.0
    #: Abort sent until the helper is gone; then SIGTERM.
    abort_grace: float = 5.0
    #: SIGTERM sent until the helper is gone; then SIGKILL.
    term_grace: float = 2.0
    #: SIGKILL sent until the helper is given up as stuck in the kernel.
    kill_grace: float = 5.0
    #: A guest that acknowledged too late is watched for so long, to resume it.
    repair_watch: float = 5.0
    #: One step of the repair.
    repair: float = 10.0
    #: Stream moves by not one byte or page (callbacks don't count).
    no_progress: float | None = 300.0
    #: The whole job, repair excluded.
    total: float | None = None

    def __post_init__(self) -> None:
        """Refuse a bound that is no bound.

        Raises:
            UsageError: One is not a positive number, or None where it must not be.
        """
        for name, value in vars(self).items():
            if name == "per_callback":
                continue
            if value is not None or name not in ENDLESS:
                check_seconds(name, value)
        for name, seconds in self.per_callback.items():
            if name not in CALLBACKS:
                known = ", ".join(sorted(CALLBACKS))
                raise UsageError(f"no callback {name!r} to bound; there are {known}")
            check_seconds(f"of callback {name}", seconds)

    def of_call(self, call: type[Message]) -> float | None:
        """Give what bounds a call that we answer ourselves: the sum of its steps.

        Returns:
            Seconds; None for the call that takes as long as the save it does, whose
            single steps are bounded.
        """
        if call is SaveLibxc:
            return None
        if call is Suspend:
            guest = self.suspend_ack + self.suspend
            return guest + 4 * self.qemu + 2 * self.xenstore + SLACK
        if call is SwitchQemuLogdirty:
            return 2 * self.qemu + SLACK
        return self.callback


#: Deadlines that may be None.
ENDLESS = frozenset({"no_progress", "total"})
#: Xen's names of all callbacks.
CALLBACKS = frozenset(rule.mirrors for rule in MESSAGES.values() if rule.answer_types)


def check_seconds(name: str, value: object) -> None:
    """Refuse what is no time.

    Raises:
        UsageError: It is not a positive number.
    """
    if isinstance(value, int | float) and not isinstance(value, bool) and value > 0:
        return
    text = f"deadline {name} must be a positive number of seconds"
    raise UsageError(f"{text}, not {value!r}")


#: What is used unless told otherwise.
DEFAULT_DEADLINES = Deadlines()
