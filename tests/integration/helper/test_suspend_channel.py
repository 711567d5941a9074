"""The helper asks a guest to suspend by its event channel."""

import errno

from libxlpy_protocol.messages import AskToSuspend, OpResult, Suspend, SuspendEvent
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
