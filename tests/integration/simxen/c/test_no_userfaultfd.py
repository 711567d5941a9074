"""Where userfaultfd is refused, ``tracker=auto`` is the bitmap: the same page sets."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from libxlpy.simxen.client import stop_host
from tests.integration.simxen.c.driving import (
    BITMAP,
    FULL_SPEED,
    LIVE,
    ROUNDS,
    Host,
    Run,
    restore,
    save,
)

STARTER = Path(__file__).with_name("start_without_userfaultfd.py")
FILTERED = "Seccomp:\t2"


@pytest.fixture(scope="module")
def refusing_host(tmp_path_factory):
    directory = tmp_path_factory.mktemp("simxen") / "host"
    subprocess.run([sys.executable, STARTER, directory], check=True)
    yield Host(directory)
    stop_host(directory)


@pytest.fixture
def host(refusing_host):
    """The module's host, without domains."""
    yield refusing_host
    refusing_host.destroy_all()


def dirty_sets(host, program, command, domid):
    """Compare what is reported with a copy; give (tracker, pages, wrong ones)."""
    outcome = Run(program, host.directory, command, domid, ROUNDS).outcome()
    kind, _, reported, _, wrong = outcome.of("tracker")[0].split()
    return outcome, int(kind), int(reported), int(wrong)


def test_userfaultfd_itself_is_refused(host, sanitized):
    domid = host.create(tracker="uffd")
    pid = host.info(domid)["guest_pid"]
    assert FILTERED in Path(f"/proc/{pid}/status").read_text()
    outcome, *_ = dirty_sets(host, sanitized, "dirty-sets", domid)
    assert (outcome.retval, outcome.errno) == (-1, errno.EOPNOTSUPP)
    assert outcome.errors[0].startswith("Failed to enable logdirty")
    assert not host.info(domid)["logdirty"]


def test_reported_are_exactly_the_pages_that_differ(host, sanitized):
    domid = host.create(tracker="auto", rate=20_000)
    outcome, kind, reported, wrong = dirty_sets(host, sanitized, "dirty-sets", domid)
    assert (outcome.retval, kind, wrong) == (0, BITMAP, 0)
    assert reported >= ROUNDS
    assert host.info(domid)["tracker"] == "off"
    assert host.whole(domid)


def test_no_page_is_lost_while_the_guest_writes(host, plain):
    domid = host.create(tracker="auto", mib=16, rate=FULL_SPEED)
    outcome, kind, reported, wrong = dirty_sets(host, plain[-1:], "dirty-race", domid)
    assert (outcome.retval, kind, wrong) == (0, BITMAP, 0)
    assert reported >= ROUNDS


@pytest.mark.parametrize("kind", ["pv", "hvm"])
def test_a_live_save_is_restored_whole(host, sanitized, image, kind):
    domid = host.create(kind, tracker="auto", rate=50_000)
    assert save(host, sanitized, domid, image, LIVE).retval == 0
    target = host.empty(kind)
    os.lseek(image, 0, os.SEEK_SET)
    assert restore(host, sanitized, target, image).retval == 0
    assert host.whole(target)
