"""libxlpy-save-helper with a parent that speaks libxl's wire: traces and every end."""

import errno
import os
import signal
import subprocess
from pathlib import Path

import pytest

from libxlpy_protocol.messages import (
    Checkpoint,
    Complete,
    Log,
    Postcopy,
    Progress,
    RestoreResults,
    StaticDataDone,
    Suspend,
    SwitchQemuLogdirty,
)
from tests.integration.helper.dropin.driver import (
    CALLS,
    ENDLESS,
    HVM,
    LIVE_HVM,
    OFF,
    ON,
    LibxlParent,
    restore_argv,
    save_argv,
)
from tests.support.helper_driver import FakeHost
from tests.support.stream_samples import END, pv_image

#: What a restore finds where libxc begins.
WHOLE = pv_image() + END

# -- traces ----------------------------------------------------------------------------


def test_pv_save_says_what_xens_own_helper_says(host: FakeHost, stream_fd: int) -> None:
    host.script("frames 1024", "suspend", "write 5000")
    with LibxlParent(host, save_argv(stream_fd), [stream_fd]) as parent:
        parent.answer(Suspend(), 1)
        assert parent.finish() == Complete(0, 0, False)
        assert {"starting save", "suspend=1", "complete r=0"} <= set(parent.logs())
        said = [m for m in parent.seen if not isinstance(m, Log)]
    assert said == [
        Progress("xc", "Frames iteration 1", 1024, 1000),
        Suspend(),
        Complete(0, 0, False),
    ]
    assert os.pread(stream_fd, 9000, 0) == bytes(5000)


def test_live_hvm_save_switches_qemus_dirty_log_on_and_off(
    host: FakeHost, stream_fd: int
) -> None:
    host.domains({7: HVM})
    host.script(*LIVE_HVM)
    with LibxlParent(host, save_argv(stream_fd, flags=3), [stream_fd]) as parent:
        parent.answer(ON, 0)
        parent.answer(Suspend(), 1)
        parent.answer(OFF, 0)
        assert parent.finish() == Complete(0, 0, False)
        assert "save dom=7 flags=3 type=0 recv=-1" in parent.logs()


def test_refused_suspend_is_told_to_libxc(host: FakeHost, stream_fd: int) -> None:
    host.script("suspend", f"fail {errno.ETIME}", "cleanup", "logdirty-off")
    with LibxlParent(host, save_argv(stream_fd), [stream_fd]) as parent:
        parent.answer(Suspend(), 0)
        parent.answer(OFF, 0)
        assert parent.finish() == Complete(-1, errno.ETIME, False)
        assert "suspend=0" in parent.logs()


def test_checkpoints_go_on_until_libxl_ends_them(
    host: FakeHost, pipe: tuple[int, int]
) -> None:
    host.script("suspend", "postcopy", "checkpoint", "suspend", "checkpoint")
    argv = save_argv(pipe[1], remus=True)
    with LibxlParent(host, argv, [pipe[1]]) as parent:
        for message, value in (
            (Suspend(), 1),
            (Postcopy(), 1),
            (Checkpoint(), 1),
            (Suspend(), 1),
            (Checkpoint(), 0),
        ):
            parent.answer(message, value)
        assert parent.finish() == Complete(0, 0, False)
        assert "save dom=7 flags=0 type=1 recv=-1" in parent.logs()


def test_restore_reports_the_rings_frames(host: FakeHost, stream_fd: int) -> None:
    host.script("static")
    os.pwrite(stream_fd, WHOLE, 0)
    with LibxlParent(host, restore_argv(stream_fd), [stream_fd]) as parent:
        call = parent.next()
        while isinstance(call.message, Log):
            call = parent.next()
        assert isinstance(call.message, StaticDataDone)
        parent.reply(0)
        parent.expect(RestoreResults(0x11, 0x22))
        assert parent.finish() == Complete(0, 0, False)
        assert "restore dom=7 store=11/0 console=12/0" in parent.logs()


def test_failed_restore_reports_them_too(host: FakeHost, stream_fd: int) -> None:
    host.script(f"fail {errno.EPROTO}")
    os.pwrite(stream_fd, WHOLE, 0)
    with LibxlParent(host, restore_argv(stream_fd), [stream_fd]) as parent:
        parent.expect(RestoreResults(0x11, 0x22))
        assert parent.finish() == Complete(-1, errno.EPROTO, False)


def test_flood_of_log_lines_is_cut_and_said_so(host: FakeHost, stream_fd: int) -> None:
    host.script("logs 100000", "suspend")
    with LibxlParent(host, save_argv(stream_fd), [stream_fd]) as parent:
        parent.answer(Suspend(), 1)
        parent.finish()
        assert any("log lines were left out" in text for text in parent.logs())


# -- SIGTERM at every message ----------------------------------------------------------


@pytest.mark.parametrize("answered_first", [False, True])
@pytest.mark.parametrize("at", [0, 1])
def test_sigterm_at_a_call_of_a_save_runs_libxcs_cleanup(
    host: FakeHost, pipe: tuple[int, int], at: int, answered_first: bool
) -> None:
    """The answer under way is waited for, then every step fails, the last one runs."""
    host.domains({7: HVM})
    host.script(*ENDLESS)
    with LibxlParent(host, save_argv(pipe[1]), [pipe[1]]) as parent:
        for message, value in CALLS[:at]:
            parent.answer(message, value)
        message, value = CALLS[at]
        parent.expect(message)
        if answered_first:
            parent.reply(value)
        parent.terminate()
        if not answered_first:
            parent.reply(value)
        assert cleaned_up(parent).count("Suspend") <= 1


def cleaned_up(parent: LibxlParent) -> list[str]:
    """Serve a helper that was told to stop; it may have got past a call before."""
    while True:
        match parent.next().message:
            case Suspend():
                parent.reply(1)
            case SwitchQemuLogdirty(enable=False):
                parent.reply(0)
                parent.finish(aborted=True)
                assert "logdirty-off=0" in parent.logs()
                return parent.trace()
            case message:
                assert isinstance(message, Log | Progress), message


def test_sigterm_while_libxl_suspends_waits_and_then_fails(
    host: FakeHost, stream_fd: int
) -> None:
    """Completing while libxl is at a callback would make it use freed memory."""
    host.script("suspend", "write 8", "cleanup", "logdirty-off")
    with LibxlParent(host, save_argv(stream_fd), [stream_fd]) as parent:
        parent.expect(Suspend())
        parent.terminate()
        with pytest.raises(subprocess.TimeoutExpired):
            parent.process.wait(0.5)
        parent.reply(1)
        parent.answer(OFF, 0)
        parent.finish(aborted=True)
        assert "suspend=0" in parent.logs()


def test_second_sigterm_does_not_wait_for_libxl(host: FakeHost, stream_fd: int) -> None:
    host.script("suspend", "write 8", "cleanup", "logdirty-off")
    with LibxlParent(host, save_argv(stream_fd), [stream_fd]) as parent:
        parent.expect(Suspend())
        parent.terminate()
        wait_until_taken(parent.process.pid, signal.SIGTERM)
        parent.terminate()
        assert parent.wait() == 7


def wait_until_taken(pid: int, number: int) -> None:
    """Two signals of a kind that both wait are one: let the first be read."""
    bit = 1 << number - 1
    while any(
        int(line.split()[1], 16) & bit
        for line in Path(f"/proc/{pid}/status").read_text().splitlines()
        if line.startswith(("ShdPnd", "SigPnd"))
    ):
        os.sched_yield()


def test_sigterm_while_libxc_writes_to_a_full_pipe(
    host: FakeHost, pipe: tuple[int, int]
) -> None:
    host.domains({7: HVM})
    host.script("logdirty-on", "write 1000000", "suspend", "cleanup", "logdirty-off")
    with LibxlParent(host, save_argv(pipe[1]), [pipe[1]]) as parent:
        parent.answer(ON, 0)
        os.close(pipe[1])
        os.read(pipe[0], 1)  # it has begun to write
        parent.terminate()
        parent.answer(OFF, 0)
        parent.finish(aborted=True)


def test_sigterm_while_libxc_reads(host: FakeHost, pipe: tuple[int, int]) -> None:
    host.script("static", "read 10")
    with LibxlParent(host, restore_argv(pipe[0]), [pipe[0]]) as parent:
        while not isinstance(parent.next().message, StaticDataDone):
            pass
        parent.reply(0)
        parent.terminate()
        parent.expect(RestoreResults(0x11, 0x22))
        parent.finish(aborted=True)


def test_sigterm_after_complete_changes_nothing(host: FakeHost, stream_fd: int) -> None:
    host.script("write 8")
    with LibxlParent(host, save_argv(stream_fd), [stream_fd]) as parent:
        parent.expect(Complete(0, 0, False))
        parent.terminate()
        wait_until_taken(parent.process.pid, signal.SIGTERM)
        parent.reply(0)
        assert parent.wait() == 0
