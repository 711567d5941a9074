"""A dead peer is found by TCP, on sockets of TCP only."""

import json
import logging
import os
import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest

from libxlpy.deadlines import Deadlines
from libxlpy.migration.tcp import Carries, find_dead_peer
from tests.support.shell import PATIENCE, ROOT, environment

TCP = socket.IPPROTO_TCP
OPTIONS = (
    (TCP, socket.TCP_KEEPIDLE),
    (TCP, socket.TCP_KEEPINTVL),
    (TCP, socket.TCP_KEEPCNT),
    (TCP, socket.TCP_USER_TIMEOUT),
)
SILENT = 15.0


def options(sock: socket.socket) -> tuple[int, ...]:
    assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
    return tuple(sock.getsockopt(*option) for option in OPTIONS)


@pytest.fixture(params=[socket.AF_INET, socket.AF_INET6])
def sock(request: pytest.FixtureRequest) -> Iterator[socket.socket]:
    with socket.socket(request.param) as sock:
        yield sock


@pytest.mark.parametrize(
    ("carries", "user_timeout"),
    [(Carries.WORDS, 15_000), (Carries.STREAM, 240_000), (Carries.NOTHING, 0)],
)
def test_options_follow_the_deadlines(
    sock: socket.socket, carries: Carries, user_timeout: int
) -> None:
    find_dead_peer(sock.fileno(), Deadlines(peer_silent=SILENT, build=240.0), carries)
    first, between, times, milliseconds = options(sock)
    assert first + between * times == SILENT
    assert milliseconds == user_timeout
    assert sock.fileno() >= 0
    assert os.fstat(sock.fileno())


@pytest.mark.parametrize("silent", [0.01, 1.0, 2.0, 7.0, 60.0, 900.0])
def test_a_deadline_of_any_length_is_near_what_is_set(
    sock: socket.socket, silent: float
) -> None:
    find_dead_peer(sock.fileno(), Deadlines(peer_silent=silent), Carries.WORDS)
    first, between, times, milliseconds = options(sock)
    assert milliseconds == int(silent * 1000)
    assert abs(first + between * times - silent) <= max(2.0, silent / 6)


def test_no_other_descriptor_is_touched(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        ones, others = socket.socketpair()
        reads, writes = os.pipe()
        datagrams = socket.socket(type=socket.SOCK_DGRAM)
        with ones, others, datagrams:
            for fd in (ones.fileno(), reads, writes, datagrams.fileno()):
                find_dead_peer(fd, Deadlines(), Carries.WORDS)
                os.fstat(fd)
            for each in (ones, datagrams):
                assert not each.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        os.close(reads)
        os.close(writes)
    assert not caplog.records


def test_what_can_t_be_set_is_told(
    caplog: pytest.LogCaptureFixture, sock: socket.socket
) -> None:
    far = Deadlines(peer_silent=1e6)  # more than TCP takes for one probe
    find_dead_peer(sock.fileno(), far, Carries.WORDS)
    (record,) = caplog.records
    assert "a dead peer is found by deadlines only: Invalid argument" in record.message


@pytest.mark.parametrize("what", ["idle", "sending"])
def test_a_way_that_is_lost_ends_the_connection(what: str) -> None:
    program = str(ROOT / "tests/support/black_hole.py")
    done = subprocess.run(
        ["unshare", "--net", sys.executable, program, what, "1"],
        capture_output=True,
        text=True,
        check=False,
        timeout=2 * PATIENCE,
        env=environment(),
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == "ETIMEDOUT"
