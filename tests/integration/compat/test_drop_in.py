"""libxlpy-save-helper with a parent that speaks libxl's wire: traces and every end."""

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
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
from tests.integration.compat.driver import LibxlParent, restore_argv, save_argv
from tests.integration.helper.driver import LIMIT, FakeHost

HVM = 2 | 32
SUSPENDED = 4 | 2 << 16
ON, OFF = SwitchQemuLogdirty(7, True), SwitchQemuLogdirty(7, False)
LIVE_HVM = ("logdirty-on", "write 8", "frames 5", "suspend", "logdirty-off")
#: The same, but it can't end: nobody reads the pipe.
ENDLESS = (*LIVE_HVM[:-1], "write 1000000", "cleanup", "logdirty-off")


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    ends = os.pipe()
    yield ends
    for fd in ends:
        try:
            os.close(fd)
        except OSError:
            pass


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


#: The calls of a live save of an HVM domain, and libxl's answers.
CALLS = ((ON, 0), (Suspend(), 1), (OFF, 0))


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


# -- libxl gone at every message -------------------------------------------------------


@pytest.mark.parametrize("how", ["both", "answers"])
@pytest.mark.parametrize("at", [0, 1, 2])
def test_end_of_libxl_at_a_call_cleans_up_and_leaves(
    host: FakeHost, stream_fd: int, at: int, how: str
) -> None:
    host.domains({7: HVM})
    host.script(*LIVE_HVM)
    with LibxlParent(host, save_argv(stream_fd), [stream_fd]) as parent:
        for message, value in CALLS[:at]:
            parent.answer(message, value)
        parent.expect(CALLS[at][0])
        host.domains({7: HVM | SUSPENDED} if at else {7: HVM})
        parent.hang_up()
        if how == "both":
            parent.stop_reading()
        assert parent.wait() == 6
    assert "shadow_op 7 0" in host.calls()
    assert ("resume 7 1" in host.calls()) == bool(at)


def test_end_of_libxl_after_complete_resumes_the_guest(
    host: FakeHost, stream_fd: int
) -> None:
    """libxl's own records are missing: there is no image that could run instead."""
    host.script("suspend", "write 8")
    with LibxlParent(host, save_argv(stream_fd), [stream_fd]) as parent:
        parent.answer(Suspend(), 1)
        host.domains({7: SUSPENDED})
        parent.expect(Complete(0, 0, False))
        parent.hang_up()
        assert parent.wait() == 6
    assert "resume 7 1" in host.calls()


def test_end_of_libxl_while_libxc_writes(host: FakeHost, pipe: tuple[int, int]) -> None:
    host.script("write 1000000", "cleanup", "logdirty-off")
    with LibxlParent(host, save_argv(pipe[1]), [pipe[1]]) as parent:
        os.read(pipe[0], 1)
        parent.stop_reading()  # the pipe of answers stays open
        assert parent.wait() == 6
    assert "shadow_op 7 0" in host.calls()


def test_checkpointed_guest_is_not_resumed_behind_its_peers_back(
    host: FakeHost, pipe: tuple[int, int]
) -> None:
    host.script("suspend", "postcopy")
    with LibxlParent(host, save_argv(pipe[1], remus=True), [pipe[1]]) as parent:
        parent.expect(Suspend())
        host.domains({7: SUSPENDED})
        parent.hang_up()
        assert parent.wait() == 6
    assert host.calls() == []


def test_lost_libxl_of_a_restore_ends_it(host: FakeHost, stream_fd: int) -> None:
    host.script("static")
    with LibxlParent(host, restore_argv(stream_fd), [stream_fd]) as parent:
        parent.hang_up()
        assert parent.wait() == 6
    assert host.calls() == []


def test_libxl_killed_while_another_holds_its_pipes(
    host: FakeHost, pipe: tuple[int, int]
) -> None:
    """No end of file comes then; the pidfd tells all the same."""
    host.script("write 1000000", "cleanup", "logdirty-off")
    program = str(Path(__file__).with_name("on_fake.py"))
    helper = [sys.executable, "-I", program, str(host.directory), str(host.library)]
    libxl = subprocess.Popen(
        [sys.executable, "-c", LEAKING_LIBXL, *helper, *save_argv(pipe[1])],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        pass_fds=[pipe[1]],
    )
    assert libxl.stdout is not None
    assert libxl.stdin is not None
    pid, holder = map(int, libxl.stdout.readline().split())
    try:
        os.read(pipe[0], 1)
        libxl.kill()
        libxl.wait()
        assert exit_status(pid) == 6
    finally:
        os.kill(holder, signal.SIGKILL)
        exit_status(holder)
        libxl.stdin.close()
        libxl.stdout.close()
    assert "shadow_op 7 0" in host.calls()


#: Forks a helper, and another child that gets both pipes too.
LEAKING_LIBXL = """
import os, sys
answers, messages = os.pipe(), os.pipe()
helper = os.fork()
if not helper:
    os.dup2(answers[0], 0)
    os.dup2(messages[1], 1)
    os.execv(sys.executable, sys.argv[1:])
for fd in (answers[1], messages[0]):
    os.set_inheritable(fd, True)
holder = os.fork()
if not holder:
    os.execvp("sleep", ["sleep", "1000"])
print(helper, holder, flush=True)
os.read(0, 1)
"""


def exit_status(pid: int) -> int:
    """Wait for a process that became ours when its parent died."""
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


@pytest.mark.parametrize("data", [b"\0\0\0\0\0", b"\1"])
def test_answer_to_nothing_is_refused(
    host: FakeHost, pipe: tuple[int, int], data: bytes
) -> None:
    host.script("write 1000000", "cleanup", "logdirty-off")
    with LibxlParent(host, save_argv(pipe[1]), [pipe[1]]) as parent:
        os.read(pipe[0], 1)
        os.write(parent.write_fd, data)
        assert parent.wait() == 5
        assert "libxl broke the protocol: Answer by the parent" in parent.stderr()


# -- the receiver ----------------------------------------------------------------------


def test_dead_receiver_is_an_error_and_not_a_signal(
    host: FakeHost, pipe: tuple[int, int]
) -> None:
    host.domains({7: HVM})
    host.script("logdirty-on", "write 100000", "cleanup", "logdirty-off")
    os.close(pipe[0])
    with LibxlParent(host, save_argv(pipe[1]), [pipe[1]]) as parent:
        parent.answer(ON, 0)
        parent.answer(OFF, 0)
        assert parent.finish() == Complete(-1, errno.EPIPE, False)


def test_libxls_stdin_as_back_channel_is_left_alone(
    host: FakeHost, stream_fd: int
) -> None:
    host.script("write 8")
    argv = save_argv(stream_fd)
    argv[2] = "63"
    with LibxlParent(host, argv, [stream_fd]) as parent:
        assert parent.finish() == Complete(0, 0, False)
        assert "save dom=7 flags=0 type=0 recv=-1" in parent.logs()


# -- started wrongly -------------------------------------------------------------------

BAD_ARGV = {
    "nothing": ([], "libxl starts this program"),
    "unknown mode": (["--help"], "libxl starts this program"),
    "too few": (["--save-domain", "5"], "1 arguments, not 6"),
    "no number": (["--save-domain", "x", "-1", "7", "0", "8", "0"], "FD 'x' is no"),
    "empty": (["--save-domain", "", "-1", "7", "0", "8", "0"], "FD '' is no number"),
    "huge": (["--save-domain", "9" * 5000, "-1", "7", "0", "8", "0"], "is no number"),
    "stdin as stream": (
        ["--save-domain", "0", "-1", "7", "0", "8", "0"],
        "FD 0 is out",
    ),
    "dom0": (["--save-domain", "5", "-1", "0", "0", "8", "0"], "DOMID 0 is outside"),
    "flags": (["--save-domain", "5", "-1", "7", "4", "8", "0"], "FLAGS 4 is outside"),
    "callbacks": (
        ["--save-domain", "5", "-1", "7", "0", "256", "0"],
        "CALLBACKS 0x100",
    ),
    "colo": (["--save-domain", "5", "-1", "7", "0", "8", "2"], "COLO streams"),
    "domain peers": (
        ["--restore-domain", "5", "-1", "7", "1", "40000", "2", "0", "768", "0"],
        "STORE_DOMID 40000 is outside 0..32767",
    ),
}


@pytest.mark.parametrize("case", BAD_ARGV)
def test_bad_argv_is_one_line_and_status_2(host: FakeHost, case: str) -> None:
    argv, text = BAD_ARGV[case]
    with LibxlParent(host, argv) as parent:
        assert parent.wait() == 2
        said = parent.stderr()
    assert text in said
    assert said.startswith("libxlpy-save-helper: ")
    assert said.count("\n") == 1


def test_stream_that_is_not_open_is_a_failed_operation(host: FakeHost) -> None:
    with LibxlParent(host, save_argv(99)) as parent:
        assert parent.finish() == Complete(-1, errno.EBADF, False)


def test_terminal_instead_of_pipes_is_refused(host: FakeHost) -> None:
    with Path("/dev/zero").open("rb") as zero:
        done = subprocess.run(
            [sys.executable, "-m", "libxlpy_helper.compat_main", *save_argv(5)],
            stdin=zero,
            capture_output=True,
            text=True,
            check=False,
            timeout=LIMIT,
        )
    assert done.returncode == 2
    assert "fd 0 is no pipe" in done.stderr


def test_environment_and_folder_of_the_caller_have_no_say(tmp_path: Path) -> None:
    """It starts itself over, isolated; what is planted for Python isn't run again."""
    trap = "import os; os.write(2, b'trapped\\n')\n"
    for name in ("selectors", "threading", "msgpack", "signal"):
        (tmp_path / f"{name}.py").write_text(trap)
    done = subprocess.run(
        [sys.executable, "-m", "libxlpy_helper.compat_main", "--save-domain"],
        cwd=tmp_path,
        env={"PYTHONSTARTUP": "x", "PYTHONINSPECT": "1", "PYTHONPATH": str(tmp_path)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=LIMIT,
    )
    assert done.returncode == 2
    assert done.stderr == "libxlpy-save-helper: --save-domain: 0 arguments, not 6\n"


def test_library_that_is_missing_is_status_3(host: FakeHost, stream_fd: int) -> None:
    host.library = host.directory / "none.so"
    with LibxlParent(host, save_argv(stream_fd), [stream_fd]) as parent:
        assert parent.wait() == 3
        assert "none.so" in parent.stderr()


def test_hypervisor_that_does_not_open_is_status_4(
    host: FakeHost, stream_fd: int
) -> None:
    (host.directory / "domains").unlink()
    with LibxlParent(host, save_argv(stream_fd), [stream_fd]) as parent:
        assert parent.wait() == 4
