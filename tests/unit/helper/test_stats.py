"""The heartbeat's numbers."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from libxlpy_helper.stats import Stats


@pytest.fixture
def stats() -> Iterator[Stats]:
    made = Stats(
        os.open("/proc/self/statm", os.O_RDONLY),
        os.open("/proc/thread-self/io", os.O_RDONLY),
    )
    yield made
    made.close()


def test_pages_add_up_over_iterations(stats: Stats) -> None:
    assert stats.stat(0).dirty == -1
    stats.progress("Frames", 0, 1000)  # not live, or a restore
    assert stats.stat(0).dirty == -1
    stats.progress("Frames iteration 0", 100, 1000)
    stats.progress("Frames iteration 0", 1000, 1000)
    stats.progress("Frames iteration 1", 0, 70)
    stats.progress("Frames iteration 1", 50, 70)
    stats.progress("End of stream", 7, 8)
    stats.progress("Frames iteration 1 of what", 7, 8)
    now = stats.stat(3)
    assert (now.pages, now.iteration, now.dropped) == (1050, 1, 3)
    assert now.dirty == 70  # what this iteration has to send
    assert now.rss_kib > 1000
    assert now.utime_us > 0


def test_bytes_are_the_position_of_a_file(stats: Stats, tmp_path: Path) -> None:
    with (tmp_path / "f").open("w+b", buffering=0) as file:
        file.write(b"before")
        stats.measure(file.fileno(), writing=True, apart=lambda: 7)
        assert stats.stat(0).bytes_done == 0
        file.write(bytes(1000))
        assert stats.stat(0).bytes_done == 1000
        number = file.fileno()
        dead = os.open("/dev/null", os.O_PATH)
        os.dup2(dead, number)  # as an abort does
        os.close(dead)
        assert stats.stat(0).bytes_done == 1000


@pytest.mark.parametrize("writing", [True, False])
def test_bytes_of_a_pipe_are_what_the_kernel_counts(
    stats: Stats, writing: bool
) -> None:
    read_fd, write_fd = os.pipe()
    try:
        fd, spliced = write_fd if writing else read_fd, [500]
        stats.measure(fd, writing=writing, apart=lambda: spliced[0])
        os.write(write_fd, bytes(5000))
        os.read(read_fd, 5000)
        before = stats.stat(0).bytes_done
        assert 5000 <= before <= 5000 + 4096  # in the helper another thread looks
        spliced[0] += 9000
        assert 9000 <= stats.stat(0).bytes_done - before <= 9000 + 4096
        before = stats.stat(0).bytes_done
        stats.progress("Frames iteration 0", 1 << 20, 1 << 20)  # most of them are none
        assert stats.stat(0).bytes_done - before <= 4096
    finally:
        os.close(read_fd)
        os.close(write_fd)
