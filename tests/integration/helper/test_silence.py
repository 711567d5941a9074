"""The parent says nothing, its pipes open: a guest suspended for it runs again."""

import os
import select
from pathlib import Path

import pytest

from libxlpy_helper.control_loop import HEARTBEAT
from libxlpy_protocol.enums import OnParentLoss
from libxlpy_protocol.messages import (
    Alive,
    Answer,
    Complete,
    LetGo,
    Message,
    OpResult,
    Stat,
    Suspend,
)
from tests.support.helper_driver import FakeHost, Parent, is_blocked

SUSPENDED = 4 | 2 << 16
#: Exit status of one that has taken silence for a loss.
SILENT = 9
PUT_RIGHT = ["shadow_op 7 0", "resume 7 1"]
#: Milliseconds of silence that are too much.
SHORT = 500
#: Heartbeats in which it would have been seen that silence is too long.
ENOUGH = 3


def begun(parent: Parent, fd: int, **fields: object) -> None:
    parent.greet()
    parent.start(**{"domid": 7, "stream_fd": fd, **fields})  # type: ignore[arg-type]


def suspended(parent: Parent, host: FakeHost, silence: int = SHORT) -> None:
    """Have the guest suspended for us, once it was said how long we may be silent."""
    asked(parent, Alive(silence))
    event = parent.expect_event(Suspend)
    host.domains({7: SUSPENDED})
    parent.send(Answer(1), event.call_id)


def asked(parent: Parent, op: Message) -> None:
    parent.send(op)
    event = parent.next()
    while not isinstance(event.message, OpResult):
        event = parent.next()
    assert event.message == OpResult(0)


def heartbeats(parent: Parent) -> None:
    """Hear that it lives for long enough, and say nothing."""
    for _ in range(ENOUGH):
        parent.expect(Stat)


def test_silence_in_the_last_pass_lets_the_guest_run(
    host: FakeHost, full_pipe: int
) -> None:
    host.script("suspend", "write 100000000", "cleanup")
    with host.helper([full_pipe]) as parent:
        begun(parent, full_pipe)
        suspended(parent, host)
        assert parent.wait() == SILENT
    assert host.calls() == PUT_RIGHT


def test_silence_in_the_suspend_callback_lets_the_guest_run(
    host: FakeHost, stream_fd: int
) -> None:
    host.script("suspend", "fail 5")
    with host.helper([stream_fd]) as parent:
        begun(parent, stream_fd)
        asked(parent, Alive(SHORT))
        parent.expect(Suspend)
        host.domains({7: SUSPENDED})  # its answer does not come
        assert parent.wait() == SILENT
    assert host.calls() == PUT_RIGHT


def test_guard_takes_silence_for_a_loss(host: FakeHost, stream_fd: int) -> None:
    host.script("suspend")
    with host.helper([stream_fd]) as parent:
        parent.releases = False
        begun(parent, stream_fd)
        suspended(parent, host)
        assert parent.expect(Complete).retval == 0
        assert parent.wait() == SILENT
    assert host.calls() == PUT_RIGHT


def test_silence_while_the_guest_runs_is_nothing(
    host: FakeHost, full_pipe: int
) -> None:
    host.script("write 100000000", "cleanup", "logdirty-off")
    with host.helper([full_pipe]) as parent:
        begun(parent, full_pipe)
        asked(parent, Alive(SHORT))
        parent.until(is_blocked(parent))
        heartbeats(parent)
        host.domains({7: SUSPENDED})  # not by us
        heartbeats(parent)
    assert host.calls() == []


def test_guest_that_others_had_suspended_is_left_alone(
    host: FakeHost, full_pipe: int
) -> None:
    host.domains({7: SUSPENDED})
    host.script("suspend", "write 100000000", "cleanup")
    with host.helper([full_pipe]) as parent:
        begun(parent, full_pipe)
        suspended(parent, host)
        heartbeats(parent)
    assert host.calls() == []


@pytest.mark.parametrize("silence", [0, 60_000])
def test_silence_that_is_not_too_long_is_nothing(
    host: FakeHost, full_pipe: int, silence: int
) -> None:
    host.script("suspend", "write 100000000", "cleanup")
    with host.helper([full_pipe]) as parent:
        begun(parent, full_pipe)
        suspended(parent, host, silence)
        heartbeats(parent)
    assert host.calls() == []


def test_all_that_is_said_is_a_sign_of_life(host: FakeHost, full_pipe: int) -> None:
    host.script("suspend", "write 100000000", "cleanup")
    with host.helper([full_pipe]) as parent:
        begun(parent, full_pipe)
        suspended(parent, host, 1000)
        for _ in range(4):
            parent.expect(Stat)
            asked(parent, Alive(1000))
        assert host.calls() == []
        assert parent.wait() == SILENT
    assert host.calls() == PUT_RIGHT


def test_silence_bears_on_nothing_once_it_is_said_so(
    host: FakeHost, full_pipe: int
) -> None:
    """But the end of the parent still does."""
    host.script("suspend", "write 100000000", "cleanup")
    with host.helper([full_pipe]) as parent:
        begun(parent, full_pipe)
        suspended(parent, host)
        asked(parent, Alive(0))
        heartbeats(parent)
        assert host.calls() == []
        parent.hang_up()
        assert parent.wait() == 6
    assert host.calls() == PUT_RIGHT


@pytest.mark.parametrize("ends", ["silence", "end of file"])
def test_guest_that_was_given_away_is_left_alone(
    host: FakeHost, stream_fd: int, ends: str
) -> None:
    host.script("suspend")
    with host.helper([stream_fd]) as parent:
        parent.releases = False
        begun(parent, stream_fd)
        suspended(parent, host)
        assert parent.expect(Complete).retval == 0
        asked(parent, LetGo())
        if ends == "silence":
            turns(parent, 3 * SHORT / 1000)
            assert parent.process.poll() is None
        else:
            parent.hang_up()
            assert parent.wait() == 6
    assert host.calls() == []


def turns(parent: Parent, seconds: float) -> None:
    """Wait until it has looked at the guest for so long by its own clock.

    It looks once a heartbeat; the kernel counts how often it has waited in between.
    """
    looks = int(seconds / HEARTBEAT) + 2
    path = Path(f"/proc/{parent.process.pid}/task")
    first = switches(path)
    while switches(path) < first + looks:
        select.select([], [], [], 0.01)


def switches(path: Path) -> int:
    """Times that a thread of it has waited."""
    texts = [(task / "status").read_text() for task in path.iterdir()]
    lines = [line for text in texts for line in text.splitlines()]
    return sum(int(x.split()[1]) for x in lines if x.startswith("voluntary_ctxt"))


def test_save_into_a_pipe_is_its_reader_s(host: FakeHost) -> None:
    """Unless its reader waits to be told: see OnParentLoss."""
    for loss, status in (("ABORT_AND_RESUME", None), ("RESUME_UNLESS_RELEASED", 9)):
        host.domains({7: 32})
        read_fd, write_fd = os.pipe()
        host.script("suspend")
        with host.helper([write_fd]) as parent:
            parent.releases = False
            begun(parent, write_fd, on_parent_loss=OnParentLoss[loss])
            suspended(parent, host)
            assert parent.expect(Complete).retval == 0
            if status is None:
                turns(parent, 3 * SHORT / 1000)
                assert host.calls() == []
                assert parent.process.poll() is None
            else:
                assert parent.wait() == status
        os.close(read_fd)
        os.close(write_fd)
    assert host.calls() == PUT_RIGHT
