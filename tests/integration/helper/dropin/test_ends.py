"""libxlpy-save-helper when libxl or the receiver is gone."""

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from libxlpy_protocol.messages import Complete, Suspend
from tests.integration.helper.dropin.driver import (
    CALLS,
    HVM,
    LIVE_HVM,
    OFF,
    ON,
    SUSPENDED,
    LibxlParent,
    restore_argv,
    save_argv,
)
from tests.support.helper_driver import FakeHost

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


def test_guest_that_ends_ends_a_save_that_waits_for_its_reader(
    host: FakeHost, pipe: tuple[int, int]
) -> None:
    host.script("write 1000000", "cleanup", "logdirty-off")
    with LibxlParent(host, save_argv(pipe[1]), [pipe[1]]) as parent:
        os.read(pipe[0], 1)
        host.domains({})
        assert parent.finish() == Complete(-1, errno.ESTALE, False)
        assert "domain 7 has ended" in parent.stderr()
    assert "shadow_op 7 0" not in host.calls()  # it may be another's domid by now


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
    helper = [
        sys.executable,
        "-I",
        program,
        str(host.directory),
        str(host.library),
        "-1,0,-1",
    ]
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
