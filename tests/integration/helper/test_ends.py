"""The parent ends, or goes mad, at any point: the guest is put right, in time."""

import errno
import os
import signal
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from libxlpy_helper.control_loop import ALONE_MAX, UNWIND_MAX
from libxlpy_helper.repair import POLL_INTERVAL, SILENCE_MAX, SUSPEND_LOOKS
from libxlpy_protocol.enums import Image, Mode, OnParentLoss
from libxlpy_protocol.messages import (
    Answer,
    Complete,
    Phase,
    Suspend,
    SwitchQemuLogdirty,
)
from libxlpy_protocol.table import CALLS
from tests.support.helper_driver import (
    FakeHost,
    Parent,
    is_blocked,
)
from tests.support.other_user import OTHER

Liar = Callable[[bytes], Path]
HVM = 2 | 32
SUSPENDED = 4 | 2 << 16


def begun(parent: Parent, fd: int, **fields: object) -> None:
    parent.greet()
    parent.start(**{"domid": 7, "stream_fd": fd, **fields})  # type: ignore[arg-type]


def lost(parent: Parent) -> None:
    """Hang up; see it end by itself with status 6."""
    parent.hang_up()
    assert parent.wait() == 6


def test_parent_lost_before_start_is_no_work(host: FakeHost) -> None:
    with host.helper() as parent:
        parent.greet()
        lost(parent)
    assert host.calls() == []


def test_parent_lost_before_hello(host: FakeHost) -> None:
    with host.helper() as parent:
        lost(parent)


def test_parent_lost_in_the_middle_of_a_frame(host: FakeHost, stream_fd: int) -> None:
    host.script("suspend")
    with host.helper([stream_fd]) as parent:
        begun(parent, stream_fd)
        parent.expect(Suspend)
        parent.write(b"\0\0")
        lost(parent)


def test_parent_lost_while_the_writer_is_stuck(host: FakeHost, full_pipe: int) -> None:
    host.domains({7: HVM})
    host.script("write 100000000", "cleanup", "logdirty-off")
    with host.helper([full_pipe]) as parent:
        begun(parent, full_pipe)
        parent.until(is_blocked(parent))
        lost(parent)
    assert host.calls() == ["shadow_op 7 0"]  # not suspended: not resumed


def test_parent_lost_in_the_suspend_callback_resumes_the_guest(
    host: FakeHost, stream_fd: int
) -> None:
    host.script("suspend", "fail 5")
    with host.helper([stream_fd]) as parent:
        begun(parent, stream_fd)
        parent.expect(Suspend)
        host.domains({7: SUSPENDED})
        lost(parent)
    assert host.calls() == ["shadow_op 7 0", "resume 7 1"]


@pytest.mark.parametrize(
    ("errnoval", "said"),
    [(errno.EINVAL, "log-dirty off\n"), (errno.EPERM, "log-dirty off: [Errno 1]")],
)
def test_only_a_log_dirty_mode_that_may_be_on_is_complained_of(
    host: FakeHost, stream_fd: int, errnoval: int, said: str
) -> None:
    host.refuse_logdirty_off(errnoval)
    host.script("suspend", "fail 5")
    with host.helper([stream_fd]) as parent:
        begun(parent, stream_fd)
        parent.expect(Suspend)
        host.domains({7: SUSPENDED})
        lost(parent)
        assert f"repair: {said}" in parent.read_stderr()
    assert host.calls() == ["shadow_op 7 0", "resume 7 1"]


def test_guest_that_crashed_meanwhile_is_not_resumed(
    host: FakeHost, stream_fd: int
) -> None:
    host.script("suspend", "fail 5")
    with host.helper([stream_fd]) as parent:
        begun(parent, stream_fd)
        parent.expect(Suspend)
        host.domains({7: 4 | 3 << 16})
        lost(parent)
    assert host.calls() == ["shadow_op 7 0"]


def test_guest_that_others_had_suspended_is_not_resumed(
    host: FakeHost, stream_fd: int
) -> None:
    host.domains({7: SUSPENDED})
    host.script("suspend", "fail 5")
    with host.helper([stream_fd]) as parent:
        begun(parent, stream_fd)
        parent.expect(Suspend)
        lost(parent)
    assert host.calls() == ["shadow_op 7 0"]


def test_guest_that_others_suspend_meanwhile_is_not_resumed(
    host: FakeHost, full_pipe: int
) -> None:
    host.script("write 100000000", "cleanup", "logdirty-off")
    with host.helper([full_pipe]) as parent:
        begun(parent, full_pipe)
        parent.until(is_blocked(parent))
        host.domains({7: SUSPENDED})  # it was not asked to by us
        lost(parent)
    assert host.calls() == ["shadow_op 7 0"]


def test_state_of_qemu_is_removed(
    host: FakeHost, stream_fd: int, tmp_path: Path
) -> None:
    state = tmp_path / "qemu-save.7"
    state.touch()
    host.script("suspend", "fail 5")
    with host.helper([stream_fd]) as parent:
        begun(parent, stream_fd, emulator_id=2, emulator_path=str(state))
        parent.expect(Suspend)
        lost(parent)
    assert not state.exists()


@pytest.mark.parametrize("whose", ["other name", "other domain's", "other user's"])
def test_file_that_is_not_ours_is_left_alone(
    host: FakeHost, stream_fd: int, tmp_path: Path, whose: str
) -> None:
    """Whatever the start message says, nothing goes but a state file of the domain."""
    names = {"other name": "precious", "other domain's": "qemu-save.8"}
    file = tmp_path / names.get(whose, "qemu-save.7")
    file.write_bytes(b"precious")
    if whose == "other user's":
        os.chown(file, OTHER, OTHER)
    host.script("suspend", "fail 5")
    with host.helper([stream_fd]) as parent:
        begun(parent, stream_fd, emulator_id=2, emulator_path=str(file))
        parent.expect(Suspend)
        lost(parent)
        assert f"{file} is not ours: left alone" in parent.read_stderr()
    assert file.read_bytes() == b"precious"


def test_library_that_hangs_does_not_keep_the_guest_down(
    host: FakeHost, stream_fd: int
) -> None:
    host.script("suspend", "hang")
    with host.helper([stream_fd]) as parent:
        begun(parent, stream_fd)
        parent.answer(Suspend, 1)
        parent.until(lambda message: "suspend=1" in getattr(message, "text", ""))
        host.domains({7: SUSPENDED})
        lost(parent)
    assert host.calls() == ["shadow_op 7 0", "resume 7 1"]


def test_silent_xenstored_and_qemu_do_not_take_the_time(
    host: FakeHost, stream_fd: int, silent_socket: Path
) -> None:
    host.script("suspend", "fail 5")
    with host.helper([stream_fd]) as parent:
        sockets = {"xenstore_path": str(silent_socket), "qmp_path": str(silent_socket)}
        begun(parent, stream_fd, **sockets)
        parent.expect(Suspend)
        host.domains({7: SUSPENDED})
        lost(parent)
        said = parent.read_stderr()
    assert host.calls() == ["shadow_op 7 0", "resume 7 1"]
    assert "xenstored does not answer" in said
    assert said.index("guest resumed") < said.index("xenstored does not answer")
    assert "xenstored told: xenstored did not answer before" in said
    assert said.index("qemu continued: qemu does not") < said.index("guest resumed")
    assert "qemu log-dirty off: qemu did not answer before" in said


def test_peers_that_are_silent_keep_no_more_than_two_seconds() -> None:
    looks = SUSPEND_LOOKS * POLL_INTERVAL
    assert UNWIND_MAX + looks + 2 * SILENCE_MAX < ALONE_MAX <= 2


HEADER = struct.Struct("<IIII")
LIES = {
    "xenstored: no number": ("xenstore_path", HEADER.pack(6, 1, 0, 4) + b"one\0"),
    "xenstored: no u32": ("xenstore_path", HEADER.pack(6, 1, 0, 12) + b"99999999999\0"),
    "xenstored: no packet": ("xenstore_path", b"\xff" * 16),
    "qemu: no JSON": ("qmp_path", b"hello\n"),
    "qemu: too deep": ("qmp_path", b"[" * 100_000 + b"\n"),
    "qemu: no object": ("qmp_path", b"[]\n"),
}


@pytest.mark.parametrize("lie", LIES)
def test_whatever_xenstored_and_qemu_say_the_guest_is_resumed(
    host: FakeHost, stream_fd: int, liar: Liar, lie: str
) -> None:
    path, answer = LIES[lie]
    host.script("suspend", "fail 5")
    with host.helper([stream_fd]) as parent:
        begun(parent, stream_fd, **{path: str(liar(answer))})
        parent.expect(Suspend)
        host.domains({7: SUSPENDED})
        lost(parent)
    assert host.calls() == ["shadow_op 7 0", "resume 7 1"]


def test_restore_is_aborted_and_its_domain_left_to_the_parent(
    host: FakeHost,
) -> None:
    read_fd, write_fd = os.pipe()
    host.script("read 1")
    try:
        with host.helper([read_fd]) as parent:
            begun(parent, read_fd, mode=Mode.RESTORE)
            parent.until(is_blocked(parent))
            lost(parent)
    finally:
        os.close(read_fd)
        os.close(write_fd)
    assert host.calls() == []


def test_finish_goes_on_without_the_parent(host: FakeHost) -> None:
    read_fd, write_fd = os.pipe()
    host.script("suspend", "write 300000")
    try:
        with host.helper([write_fd]) as parent:
            os.close(write_fd)
            policy = {"on_parent_loss": OnParentLoss.FINISH, "image": Image.LIBXL}
            begun(parent, write_fd, **policy)
            parent.answer(Suspend, 1)
            parent.until(is_blocked(parent))
            parent.hang_up()
            data = b""
            while part := os.read(read_fd, 1 << 20):
                data += part
            assert len(data) == 16 + 8 + 300_000 + 8
            assert parent.wait() == 6
    finally:
        os.close(read_fd)
    assert host.calls() == []  # a complete image: the guest stays as it is


def test_finish_that_fails_is_repaired(host: FakeHost, stream_fd: int) -> None:
    host.script("suspend", "fail 5")
    with host.helper([stream_fd]) as parent:
        begun(parent, stream_fd, on_parent_loss=OnParentLoss.FINISH)
        parent.expect(Suspend)
        host.domains({7: SUSPENDED})
        lost(parent)
    assert host.calls() == ["shadow_op 7 0", "resume 7 1"]


def test_parent_that_stops_reading_is_no_loss_until_it_is_gone(
    host: FakeHost, stream_fd: int
) -> None:
    host.script("logs 5000", "suspend", "fail 5")
    with host.helper([stream_fd]) as parent:
        begun(parent, stream_fd)
        parent.wait_until_idle()
        assert parent.process.poll() is None
        lost(parent)


# -- a parent that breaks the protocol ---------------------------------------------


GARBAGE = {
    "huge frame": b"\xff\xff\xff\xff",
    "no msgpack": b"\0\0\0\x01\xc1",
    "no array": b"\0\0\0\x01\xc0",
    "unknown number": b"\0\0\0\x03\x92\x7f\x00",
    "answer to nothing": b"\0\0\0\x04\x93\x22\x63\x01",
}


@pytest.mark.parametrize("case", GARBAGE)
@pytest.mark.parametrize("when", ["before hello", "before start", "in a call"])
def test_protocol_error_ends_with_status_5_and_repairs(
    host: FakeHost, stream_fd: int, case: str, when: str
) -> None:
    host.script("suspend", "fail 5")
    with host.helper([stream_fd]) as parent:
        if when != "before hello":
            parent.greet()
        if when == "in a call":
            parent.start(domid=7, stream_fd=stream_fd)
            parent.expect(Suspend)
        host.domains({7: SUSPENDED})
        parent.write(GARBAGE[case])
        assert parent.wait() == 5
        assert "the parent broke the protocol" in parent.read_stderr()
    repaired = ["shadow_op 7 0", "resume 7 1"] if when == "in a call" else []
    assert host.calls() == repaired


# -- at every message --------------------------------------------------------------


STEPS = ["logdirty-on", "logs 2", "frames 3", "policy", "write 9", "suspend"]


def end_by_eof(parent: Parent) -> int:
    parent.hang_up()
    return 6


def end_by_sigterm(parent: Parent) -> int:
    parent.process.send_signal(signal.SIGTERM)
    while not isinstance(parent.next().message, Complete):
        pass
    return 0


def end_by_garbage(parent: Parent) -> int:
    parent.write(b"\xff\xff\xff\xff")
    return 5


@pytest.mark.timeout(300)  # some fifty helpers
@pytest.mark.parametrize("end", [end_by_eof, end_by_sigterm, end_by_garbage])
def test_every_message_of_a_save_may_be_the_last(
    host: FakeHost, end: Callable[[Parent], int], stream_fd: int
) -> None:
    host.domains({7: HVM})
    host.script(*STEPS, "cleanup", "logdirty-off")
    message = 0
    while not cut_after(host, stream_fd, message, end):
        message += 1
    assert message > len(STEPS) + 6


def cut_after(
    host: FakeHost, fd: int, count: int, end: Callable[[Parent], int]
) -> bool:
    """Run a save and end it after ``count`` messages; True: it was over before."""
    (host.directory / "calls").unlink(missing_ok=True)
    with host.helper([fd]) as parent:
        begun(parent, fd, image=Image.LIBXL)
        parent.expect(Phase)  # the operation has begun: now it must be put right
        done = serve(parent, count)
        if done:
            return True
        expected = end(parent)
        assert parent.wait() == expected, parent.read_stderr()
        if expected:
            assert host.calls() == ["shadow_op 7 0"]
    return False


def serve(parent: Parent, count: int) -> bool:
    """Answer calls for ``count`` messages but heartbeats; True: complete before."""
    seen = 0
    while seen < count:
        event = parent.next()
        seen += isinstance(event.message, (Phase, SwitchQemuLogdirty, Suspend)) or (
            type(event.message).__name__ in ("Log", "Progress", "PrecopyPolicy")
        )
        if isinstance(event.message, Complete):
            return True
        if type(event.message) in CALLS:
            answer = 0 if isinstance(event.message, SwitchQemuLogdirty) else 1
            parent.send(Answer(answer), event.call_id)
    return False
