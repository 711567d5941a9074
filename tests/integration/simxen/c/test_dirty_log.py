"""Dirty tracking against a copy of the memory, with the guest at full speed."""

import errno
import os
import platform
import signal

import pytest

from tests.integration.simxen.c.driving import BITMAP, FULL_SPEED, ROUNDS, UFFD, Run

#: WP_ASYNC and PAGEMAP_SCAN came with Linux 6.7.
NEW_ENOUGH = tuple(map(int, platform.release().split(".")[:2])) >= (6, 7)
TRACKERS = {"uffd": UFFD, "bitmap": BITMAP} if NEW_ENOUGH else {"bitmap": BITMAP}


def compare_with_copy(host, program, command, tracker, **domain):
    """Give the pages reported and how many of the answers were wrong."""
    domid = host.create(tracker=tracker, **domain)
    outcome = Run(program, host.directory, command, domid, ROUNDS).outcome()
    assert outcome.retval == 0
    kind, _, reported, _, wrong = outcome.of("tracker")[0].split()
    assert int(kind) == TRACKERS[tracker]
    assert not host.info(domid)["logdirty"]
    assert host.whole(domid)
    return int(reported), int(wrong)


@pytest.mark.parametrize("tracker", TRACKERS)
@pytest.mark.parametrize("rate", [20_000, FULL_SPEED])
@pytest.mark.parametrize("pattern", ["uniform", "sequential", "hot"])
def test_reported_are_exactly_the_pages_that_differ(
    host, sanitized, tracker, rate, pattern
):
    domain = {"rate": rate, "pattern": pattern, "hot_pages": 64}
    reported, wrong = compare_with_copy(
        host, sanitized, "dirty-sets", tracker, **domain
    )
    assert wrong == 0
    assert reported >= ROUNDS


@pytest.mark.parametrize("tracker", TRACKERS)
def test_no_page_is_lost_while_the_guest_writes(host, plain, tracker):
    domain = {"mib": 16, "rate": FULL_SPEED}
    program = plain[-1:]  # at full speed too
    reported, wrong = compare_with_copy(host, program, "dirty-race", tracker, **domain)
    assert wrong == 0
    assert reported >= ROUNDS


@pytest.mark.parametrize("tracker", TRACKERS)
def test_an_unfilled_memory_has_no_written_pages(host, sanitized, tracker):
    domid = host.create(tracker=tracker, fill=False)
    run = Run(sanitized, host.directory, "watch", domid)
    assert run.line() == "watching"
    run.say("look")
    run.process.stdin.close()
    outcome = run.outcome()
    assert outcome.of("tracker")[0].endswith("reported 0 wrong 0")


@pytest.mark.parametrize("tracker", TRACKERS)
def test_a_dead_guest_is_a_vanished_domain(host, sanitized, tracker):
    domid = host.create(tracker=tracker, rate=1000)
    run = Run(sanitized, host.directory, "watch", domid)
    assert run.line() == "watching"
    os.kill(host.info(domid)["guest_pid"], signal.SIGKILL)
    host.until_dead(domid)
    run.say("look")
    outcome = run.outcome()
    assert (outcome.retval, outcome.errno) == (-1, errno.ESRCH)
