"""A domid that goes to another domain, as the helper alone sees it."""

import errno
import os
import signal
from pathlib import Path

import pytest

from libxlpy_protocol.enums import Image, Mode, Op, XcFlags
from libxlpy_protocol.messages import (
    Complete,
    DomainOp,
    OpResult,
    Suspend,
    SwitchQemuLogdirty,
)
from tests.support.guest import Guest
from tests.support.helper_driver import ALL_BUT_POLICY, FakeHost
from tests.support.simxen_host import Simxen
from tests.support.successor import Successor

HVM = 2 | 32
#: As the fake library makes it, of domain 7.
UUID = bytes([7]) * 16
OTHER = bytes([8]) * 16
ACTS = [Op.PAUSE, Op.UNPAUSE, Op.SHUTDOWN, Op.RESUME, Op.LOGDIRTY_OFF, Op.DESTROY]


@pytest.mark.parametrize("op", [Op.INFO, *ACTS])
def test_op_that_means_another_domain_is_not_done(host: FakeHost, op: Op) -> None:
    host.domains({7: HVM})
    with host.helper() as parent:
        parent.greet()
        parent.start(Mode.OPS)
        parent.send(DomainOp(op, 7, uuid=OTHER))
        assert parent.expect(OpResult) == OpResult(-1, errno.ESTALE)
    assert host.calls() == []


@pytest.mark.parametrize("op", ACTS)
def test_op_that_means_this_domain_is_done(host: FakeHost, op: Op) -> None:
    host.domains({7: HVM})
    with host.helper() as parent:
        parent.greet()
        parent.start(Mode.OPS)
        parent.send(DomainOp(op, 7, uuid=UUID))
        assert parent.expect(OpResult).errnoval != errno.ESTALE
    assert len(host.calls()) == 1


def test_save_that_means_another_domain_does_not_begin(
    host: FakeHost, stream_fd: int
) -> None:
    host.domains({7: HVM})
    host.script("write 10")
    with host.helper([stream_fd]) as parent:
        parent.greet()
        parent.start(domid=7, stream_fd=stream_fd, uuid=OTHER)
        assert parent.serve({}) == Complete(-1, errno.ESTALE, aborted=False)
        assert parent.wait() == 0
    assert host.calls() == []


@pytest.mark.parametrize("kind", ["pv", "hvm"])
def test_orphan_leaves_another_domain_alone(
    simxen: Simxen, tmp_path: Path, kind: str
) -> None:
    state = tmp_path / "state of the other's"
    state.touch()
    with (
        Guest(simxen.directory, kind) as guest,
        Path("/dev/null").open("wb") as null,
        simxen.helper([null.fileno()]) as parent,
    ):
        parent.greet()
        parent.start(
            calls=ALL_BUT_POLICY,
            domid=guest.domid,
            stream_fd=null.fileno(),
            flags=XcFlags.LIVE,
            image=Image.LIBXL,
            emulator_path=str(state),
            xenstore_path=str(simxen.directory / "xenstored.sock"),
            qmp_path=simxen.qmp_path(guest.domid) if kind == "hvm" else "",
        )
        if kind == "hvm":
            parent.answer(SwitchQemuLogdirty, 0)
        parent.expect_event(Suspend)
        os.kill(parent.process.pid, signal.SIGSTOP)  # sees all of it at once
        with Successor(guest) as successor:
            parent.hang_up()
            os.kill(parent.process.pid, signal.SIGCONT)
            assert parent.wait() == 6
            successor.assert_left_alone()
        assert "is another domain now: left alone" in parent.read_stderr()
    assert state.exists()


@pytest.mark.parametrize("after", [{}, {8: HVM}])
def test_guest_that_ends_while_a_call_waits_ends_the_save(
    host: FakeHost, stream_fd: int, after: dict[int, int]
) -> None:
    """By the next heartbeat, and with no answer; libxc is not let go on."""
    host.domains({7: HVM})
    host.script("suspend", "write 10")
    with host.helper([stream_fd]) as parent:
        parent.greet()
        parent.start(domid=7, stream_fd=stream_fd, uuid=UUID)
        parent.expect_event(Suspend)
        host.domains(after)
        assert parent.expect(Complete) == Complete(-1, errno.ESTALE, aborted=True)
        assert parent.wait() == 0
    assert "suspend" not in host.calls()[1:]
