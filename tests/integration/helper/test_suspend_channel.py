"""The helper asks a guest to suspend by its event channel."""

import errno

from libxlpy_protocol.enums import Image, Mode, Op, StreamType, XcFlags
from libxlpy_protocol.messages import (
    Answer,
    AskToSuspend,
    Checkpoint,
    OpResult,
    Postcopy,
    Suspend,
    SuspendEvent,
)
from tests.support.helper_driver import ALL_BUT_POLICY
from tests.support.simxen_host import Simxen, assert_runs

GUEST_PORT = 9


def test_guest_asked_by_event_runs_on_after_the_parent_is_lost(
    simxen: Simxen, stream_fd: int
) -> None:
    domid = simxen.create("pv", suspend_channel=True)
    lock = simxen.directory / f"suspend-evtchn-{domid}.lock"
    with simxen.helper([stream_fd]) as parent:
        parent.greet()
        store = str(simxen.directory / "xenstored.sock")
        parent.start(domid=domid, stream_fd=stream_fd, xenstore_path=store)
        parent.expect(Suspend)
        ask = AskToSuspend(domid, GUEST_PORT, str(lock))
        parent.send(ask)
        assert parent.expect(OpResult) == OpResult(0)
        parent.expect(SuspendEvent)
        simxen.until_suspended(domid)
        assert lock.exists()
        parent.send(ask)
        assert parent.expect(OpResult) == OpResult(-1, errno.EINVAL)
        parent.hang_up()
        parent.wait()
        stderr = parent.read_stderr()
    assert not lock.exists()
    assert "guest resumed" in stderr
    assert_runs(simxen, domid, stderr)


def test_guest_is_asked_again_by_the_same_channel_at_each_checkpoint(
    simxen: Simxen, stream_fd: int
) -> None:
    domid = simxen.create("pv", suspend_channel=True)
    lock = simxen.directory / f"suspend-evtchn-{domid}.lock"
    with simxen.helper([stream_fd]) as parent:
        parent.greet()
        parent.start(
            Mode.REMUS,
            domid=domid,
            stream_fd=stream_fd,
            flags=XcFlags.LIVE,
            stream_type=StreamType.REMUS,
            image=Image.LIBXL,
            xenstore_path=str(simxen.directory / "xenstored.sock"),
            calls=ALL_BUT_POLICY,
        )
        for _ in range(3):
            suspend = parent.expect_event(Suspend)
            parent.send(AskToSuspend(domid, GUEST_PORT, str(lock)))
            assert parent.expect(OpResult) == OpResult(0)
            parent.expect(SuspendEvent)
            simxen.until_suspended(domid)
            parent.send(Answer(1), suspend.call_id)
            postcopy = parent.expect_event(Postcopy)
            assert parent.op(Op.RESUME, domid, 1).retval == 0
            parent.send(Answer(1), postcopy.call_id)
            parent.answer(Checkpoint, 1)
        parent.expect(Suspend)
        parent.hang_up()
        parent.wait()
        stderr = parent.read_stderr()
    assert not lock.exists()
    assert_runs(simxen, domid, stderr)
