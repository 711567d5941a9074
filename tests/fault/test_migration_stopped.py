"""A sender is stopped at each step, and goes on once its guest runs: never do two."""

import socket
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from tests.fault.stopped import (
    STOP,
    assert_stays_suspended,
    goes_on,
    started,
    wait_runs,
    wait_stopped,
)
from tests.fault.test_migration_dies import CONNECTIONS, DYING, Ends, left, runs
from tests.support.guest import Guest

#: Phases of a sender whose guest is suspended and still its own.
OURS = ("suspended", "end", "complete", "settle", "received", "name", "go")
SILENCE = "deadline 'parent_silent' of 1 s passed"
RAN_ON = "somebody let the guest run again"


@pytest.fixture(params=["xl", "own"])
def handshake(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def ends_after_a_stop(
    guest: Guest, there: Path, handshake: str, at: str, *, lets_run: bool
) -> Ends:
    """Have the sender stopped, and go on once all that may happen has."""
    with ExitStack() as stack:
        pairs = [socket.socketpair() for _ in range(CONNECTIONS[handshake])]
        ones, others = (
            [stack.enter_context(sock).fileno() for sock in socks]
            for socks in zip(*pairs, strict=True)
        )
        send = {"role": "send", "host": str(guest.host), "domid": guest.domid}
        sender = started(
            DYING, {**send, "fds": ones, "at": at, "who": "self", **STOP}, ones
        )
        receive = {"role": "receive", "host": str(there), "fds": others}
        receiver = started(DYING, receive, others)
    try:
        wait_stopped(sender)
        if lets_run:
            wait_runs(guest)
        else:
            assert_stays_suspended(guest)
    finally:
        said, errors = goes_on(sender)
    assert sender.returncode == 0, errors
    heard, errors = receiver.communicate(timeout=100)
    assert receiver.returncode == 0, errors
    ends = left(guest.host, there, (said, heard.strip()))
    here = [info for info in ends.here if info.domid == guest.domid]
    return replace(ends, here=here)


@pytest.mark.parametrize("at", OURS)
def test_sender_stopped_before_go_has_its_guest_run(
    host: Path, other_host: Path, handshake: str, at: str
):
    with Guest(host, "hvm") as guest:
        ends = ends_after_a_stop(guest, other_host, handshake, at, lets_run=True)
        guest.assert_untouched()
    (here,) = ends.here
    assert runs(here), ends
    assert here.name == guest.name, ends
    assert not any(map(runs, ends.there)), ends
    assert SILENCE in ends.sender or RAN_ON in ends.sender, ends
    if at == "go":
        assert SILENCE in ends.sender, ends
    if handshake == "own":  # it could be told
        assert ends.there == [], ends


@pytest.mark.parametrize("kind", ["pv", "hvm"])
def test_sender_stopped_once_go_is_said_keeps_its_guest_suspended(
    host: Path, other_host: Path, handshake: str, kind: str
):
    with Guest(host, kind) as guest:
        ends = ends_after_a_stop(guest, other_host, handshake, "report", lets_run=False)
    assert ends.here == [], ends
    (there,) = ends.there
    assert runs(there), ends
    assert ends.sender == ends.receiver == "good", ends
