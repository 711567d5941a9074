"""Abort, wherever the operation is: libxc cleans up, the result says aborted."""

import errno
import itertools
import os
import signal
import statistics
from collections.abc import Callable
from pathlib import Path

import pytest

from libxlpy_helper.control_loop import HEARTBEAT
from libxlpy_helper.xen.xenguest import KICK
from libxlpy_protocol.enums import Image, Mode
from libxlpy_protocol.messages import (
    Abort,
    Complete,
    Phase,
    PrecopyPolicy,
    Progress,
    Stat,
    Suspend,
    SwitchQemuLogdirty,
    ToolstackSave,
)
from tests.support.helper_driver import FakeHost, Parent, is_blocked

HVM = 2 | 32
MUCH = "write 100000000"
#: Signals that are the thread's own doing.
FAULTS = (
    *(signal.SIGSEGV, signal.SIGBUS, signal.SIGFPE, signal.SIGILL),
    *(signal.SIGABRT, signal.SIGTRAP, signal.SIGSYS),
)
UNBLOCKABLE = (signal.SIGKILL, signal.SIGSTOP)
#: Seconds between two heartbeats that a parent is promised at most.
PROMISED = 0.5
#: Times the promise that half of them may take on a machine with more to do than time.
LATE = 2.0
#: Heartbeats listened to.
HEARTBEATS = 7


def by_message(parent: Parent) -> None:
    parent.send(Abort("test"))


def by_signal(parent: Parent) -> None:
    parent.process.send_signal(signal.SIGTERM)


HOW = pytest.mark.parametrize("abort", [by_message, by_signal])
Way = Callable[[Parent], None]


def begun(parent: Parent, fd: int, **fields: object) -> None:
    parent.greet()
    parent.start(**{"domid": 7, "stream_fd": fd, **fields})  # type: ignore[arg-type]


@HOW
def test_blocked_writer_comes_back_and_libxc_cleans_up(
    host: FakeHost, full_pipe: int, abort: Way
) -> None:
    host.domains({7: HVM})
    host.script(MUCH, "cleanup", "logdirty-off", "suspend", "policy")
    with host.helper([full_pipe]) as parent:
        begun(parent, full_pipe)
        parent.until(is_blocked(parent))
        abort(parent)
        # Complete and no call before it: the helper answered them by itself.
        assert parent.expect(Complete) == Complete(-1, errno.EBADF, True)
        assert parent.wait() == 0
        answers = {"logdirty-off=-1", "suspend=0", "policy=-1"}
        assert answers <= set(parent.logs())


@HOW
def test_blocked_reader_comes_back(host: FakeHost, abort: Way) -> None:
    read_fd, write_fd = os.pipe()
    host.script("read 1")
    try:
        with host.helper([read_fd]) as parent:
            begun(parent, read_fd, mode=Mode.RESTORE)
            parent.until(is_blocked(parent))
            abort(parent)
            assert parent.expect(Complete) == Complete(-1, errno.EBADF, True)
    finally:
        os.close(read_fd)
        os.close(write_fd)


@HOW
def test_record_of_ours_that_blocks_is_left(
    host: FakeHost, full_pipe: int, abort: Way
) -> None:
    path = host.directory / "qemu-save.7"
    path.write_bytes(bytes(1_000_000))
    with host.helper([full_pipe]) as parent:
        state = {"emulator_id": 2, "emulator_path": str(path)}
        begun(parent, full_pipe, image=Image.LIBXL, calls=[Suspend], **state)
        parent.until(lambda message: message == Phase("emulator"))
        parent.until(is_blocked(parent))
        abort(parent)
        complete = parent.expect(Complete)
        assert complete.aborted
        assert complete.retval == -1


@HOW
def test_open_call_is_given_up(host: FakeHost, stream_fd: int, abort: Way) -> None:
    host.script("suspend", "write 1", "cleanup", "policy")
    with host.helper([stream_fd]) as parent:
        begun(parent, stream_fd)
        parent.expect(Suspend)
        abort(parent)
        assert parent.expect(Complete) == Complete(-1, errno.EBADF, True)
        assert parent.wait() == 0
        assert {"suspend=0", "policy=-1"} <= set(parent.logs())


@HOW
def test_toolstack_save_is_given_up(host: FakeHost, stream_fd: int, abort: Way) -> None:
    with host.helper([stream_fd]) as parent:
        begun(parent, stream_fd, image=Image.LIBXL, emulator_id=2)
        parent.expect(ToolstackSave)
        abort(parent)
        assert parent.expect(Complete) == Complete(-1, errno.ECANCELED, True)


def test_success_after_an_abort_is_still_aborted(
    host: FakeHost, stream_fd: int
) -> None:
    host.script("suspend")  # and libxc takes no notice of the failure
    with host.helper([stream_fd]) as parent:
        begun(parent, stream_fd)
        parent.expect(Suspend)
        by_message(parent)
        complete = parent.expect(Complete)
        assert complete.aborted


def test_second_abort_changes_nothing(host: FakeHost, full_pipe: int) -> None:
    host.script(MUCH)
    with host.helper([full_pipe]) as parent:
        begun(parent, full_pipe)
        parent.until(is_blocked(parent))
        by_message(parent)
        by_message(parent)
        by_signal(parent)
        assert parent.expect(Complete) == Complete(-1, errno.EBADF, True)
        assert parent.wait() == 0


def test_abort_right_behind_start(host: FakeHost, full_pipe: int) -> None:
    host.script(MUCH)
    with host.helper([full_pipe]) as parent:
        begun(parent, full_pipe)
        by_message(parent)
        assert parent.expect(Complete).aborted
        assert parent.wait() == 0


def test_receiver_sees_the_end_of_the_stream_after_an_abort(host: FakeHost) -> None:
    read_fd, write_fd = os.pipe()
    host.script(MUCH)
    try:
        with host.helper([write_fd]) as parent:
            os.close(write_fd)
            begun(parent, write_fd)
            parent.until(is_blocked(parent))
            by_message(parent)
            while os.read(read_fd, 1 << 20):
                pass  # ends although the helper still lives
            assert parent.expect(Complete).aborted
    finally:
        os.close(read_fd)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_signal_before_start_ends_it(host: FakeHost, number: signal.Signals) -> None:
    with host.helper() as parent:
        parent.greet()
        parent.process.send_signal(number)
        assert parent.wait() == 7


def test_other_signals_do_not_disturb_a_save(host: FakeHost, full_pipe: int) -> None:
    host.script(MUCH)
    with host.helper([full_pipe]) as parent:
        begun(parent, full_pipe)
        parent.until(is_blocked(parent))
        for number in (signal.SIGURG, signal.SIGPIPE, signal.SIGCHLD, signal.SIGALRM):
            parent.process.send_signal(number)
        parent.expect(Stat)
        parent.expect(Stat)
        assert parent.process.poll() is None


def test_the_saving_thread_takes_no_signal_but_the_kick(
    host: FakeHost, full_pipe: int
) -> None:
    host.script(MUCH)
    with host.helper([full_pipe]) as parent:
        begun(parent, full_pipe)
        parent.until(is_blocked(parent))
        status = Path(f"/proc/{parent.process.pid}/status").read_text()
    (mask,) = [line.split()[1] for line in status.splitlines() if "SigBlk" in line]
    blocked = {each for each in signal.Signals if int(mask, 16) >> each - 1 & 1}
    assert set(signal.Signals) - blocked == {KICK, *FAULTS, *UNBLOCKABLE}


def test_kicks_without_an_abort_lose_no_byte(host: FakeHost) -> None:
    read_fd, write_fd = os.pipe()
    size = 3_000_000
    host.script(f"write {size}")
    try:
        with host.helper([write_fd]) as parent:
            os.close(write_fd)
            begun(parent, write_fd)
            got = 0
            while got < size:
                got += len(os.read(read_fd, 100_000))
                if parent.process.poll() is None:
                    parent.process.send_signal(signal.SIGUSR1)
            assert parent.expect(Complete) == Complete(0, 0, False)
            assert parent.wait() == 0
        assert got + len(os.read(read_fd, 1)) == size
    finally:
        os.close(read_fd)


def assert_in_time(stats: list[Stat]) -> None:
    """Check by the helper's own clock that its heartbeats come as promised.

    The median: a single one may be late on a busy machine, that is no fault of ours.
    """
    gaps = [
        later.monotonic_ns - earlier.monotonic_ns
        for earlier, later in itertools.pairwise(stats)
    ]
    median = statistics.median(gaps) / 1e9
    assert median / HEARTBEAT >= 0.9
    assert median / PROMISED <= LATE, gaps


def test_stat_comes_while_the_writer_is_stuck(host: FakeHost, full_pipe: int) -> None:
    host.script("frames 10", MUCH)
    with host.helper([full_pipe]) as parent:
        begun(parent, full_pipe)
        parent.until(is_blocked(parent))
        stats = [parent.expect(Stat) for _ in range(HEARTBEATS)]
        assert_in_time(stats)
        assert stats[-1].bytes_done >= 65536
        assert stats[-1].pages == 10
        assert not [m for m in parent.seen if isinstance(m, PrecopyPolicy)]
        assert [m for m in parent.seen if isinstance(m, Progress)]


def test_hanging_library_leaves_the_control_thread_alive(
    host: FakeHost, stream_fd: int
) -> None:
    host.script("hang")
    with host.helper([stream_fd]) as parent:
        begun(parent, stream_fd)
        parent.until(lambda message: "save dom" in getattr(message, "text", ""))
        by_message(parent)
        # Kicked all the while: the parent has to end it.
        assert_in_time([parent.expect(Stat) for _ in range(HEARTBEATS)])
        parent.kill()
        assert parent.wait() == -signal.SIGKILL


def test_crash_of_the_library_is_a_signal_and_a_traceback(
    host: FakeHost, stream_fd: int
) -> None:
    host.domains({7: HVM})
    host.script("crash")
    with host.helper([stream_fd]) as parent:
        begun(parent, stream_fd, calls=[Suspend, SwitchQemuLogdirty])
        assert parent.wait() == -signal.SIGSEGV
        assert "Segmentation fault" in parent.read_stderr()
        assert "save_libxc" in parent.read_stderr()
