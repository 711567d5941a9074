"""Floods and noise from the library: the data goes on, the parser sees none."""

import os
import select

import pytest

from libxlpy_protocol.messages import Complete, Log, Phase, Progress, Stat, Suspend
from tests.support.helper_driver import FakeHost, Parent

SIZE = 200_000


def begun(parent: Parent, fd: int) -> None:
    parent.greet()
    parent.start(domid=7, stream_fd=fd)


@pytest.mark.parametrize("flood", ["logs 20000", "noise 20000"])
def test_flood_that_nobody_reads_does_not_stall_the_data(
    host: FakeHost, flood: str
) -> None:
    read_fd, write_fd = os.pipe()
    host.script(flood, f"write {SIZE}")
    try:
        with host.helper([write_fd]) as parent:
            os.close(write_fd)
            begun(parent, write_fd)
            got = 0  # all of it, without one look at the control pipe or stderr
            while got < SIZE:
                assert select.select([read_fd], [], [], 20)[0], f"stuck at {got}"
                got += len(os.read(read_fd, SIZE))
            assert parent.expect(Complete) == Complete(0, 0, False)
            assert parent.wait() == 0
    finally:
        os.close(read_fd)


def test_dropped_lines_are_the_oldest_and_counted(
    host: FakeHost, stream_fd: int
) -> None:
    host.script("logs 20000", "suspend")
    with host.helper([stream_fd]) as parent:
        begun(parent, stream_fd)
        # Unread until the flood is over: the last line is in the outbox by then.
        parent.wait_until_idle()
        while "line 19999" not in parent.logs():
            parent.next()
        parent.expect(Suspend)
        parent.expect(Stat)  # may have been made before the last line
        dropped = parent.expect(Stat).dropped
        lines = [line for line in parent.logs() if line.startswith("line ")]
    assert dropped > 0
    assert len(parent.logs()) + dropped == 20000 + 3  # opened twice, and "save"
    assert lines == sorted(lines, key=lambda line: int(line.split()[1]))


def test_progress_is_coalesced_not_queued(host: FakeHost, stream_fd: int) -> None:
    host.script(*(f"frames {n}" for n in range(5000)), "suspend")
    with host.helper([stream_fd]) as parent:
        begun(parent, stream_fd)
        parent.wait_until_idle()
        done = -1
        while done != 4999:
            message = parent.next().message
            if isinstance(message, Progress):
                assert message.done > done
                done = message.done
        assert len([m for m in parent.seen if isinstance(m, Progress)]) < 5000


def test_noise_on_stdout_goes_to_stderr(host: FakeHost, stream_fd: int) -> None:
    host.script("noise 3")
    with host.helper([stream_fd]) as parent:
        begun(parent, stream_fd)
        assert parent.expect(Complete).retval == 0
        parent.wait()
        assert parent.read_stderr() == "noise noise noise\n" * 3


def test_text_of_any_length_and_bytes_arrives_as_text(
    host: FakeHost, stream_fd: int
) -> None:
    host.script("odd")
    with host.helper([stream_fd]) as parent:
        begun(parent, stream_fd)
        assert parent.expect(Complete).retval == 0
        texts = [m.text for m in parent.seen if isinstance(m, Log) and m.level == 8]
        progress = [m for m in parent.seen if isinstance(m, Progress)]
    assert texts == [
        "x" * 4095,
        "-5% of odd \\xff\\xfe bytes 18446744073709551615  1.50 c",
        "",
    ]
    assert progress == [Progress("", "odd \\xff", 1, (1 << 64) - 1)]


def test_messages_keep_their_order(host: FakeHost, stream_fd: int) -> None:
    host.script("logs 2", "frames 1", "logs 1")
    with host.helper([stream_fd]) as parent:
        begun(parent, stream_fd)
        parent.expect(Complete)
        kinds = [type(m) for m in parent.seen if not isinstance(m, Stat)]
    after_phase = kinds[kinds.index(Phase) + 1 :]
    assert after_phase[1:] == [Log, Log, Progress, Log, Phase, Complete]
