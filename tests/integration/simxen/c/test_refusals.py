"""Saves and restores that must fail: how they say so, and what they leave."""

import errno
import os

import pytest

from tests.integration.simxen.c.driving import (
    LIVE,
    PLAIN,
    WITH_POLICY,
    Run,
    restore,
    save,
)


def refused(host, outcome, domid, number, *errors):
    """The save failed as told, and what it switched on is off."""
    assert (outcome.retval, outcome.errno) == (-1, number)
    for text, expected in zip(outcome.errors, errors, strict=True):
        assert text.startswith(expected)
    assert not host.info(domid)["logdirty"]
    assert host.info(domid)["running"] is (not host.info(domid)["shutdown"])


@pytest.mark.parametrize("flags", [0, LIVE])
def test_suspend_refused(host, sanitized, image, flags):
    domid = host.create("hvm")
    outcome = save(host, sanitized, domid, image, flags, suspend="0")
    errors = ["save callback suspend() failed: 0", "Save failed"]
    refused(host, outcome, domid, errno.ECANCELED, *errors)
    assert outcome.of("call")[-1] == f"logdirty {domid} 0"
    assert not host.info(domid)["qemu_logdirty"]


def test_suspend_only_claimed(host, sanitized, image):
    domid = host.create()
    outcome = save(host, sanitized, domid, image, LIVE, suspend="1")
    errors = ["Domain has not been suspended: shutdown 0, reason 0", "Save failed"]
    refused(host, outcome, domid, errno.EBUSY, *errors)


def test_policy_aborts(host, sanitized, image):
    domid = host.create()
    answers = {"policy": ["0", "-1"]}
    outcome = save(host, sanitized, domid, image, LIVE | WITH_POLICY, **answers)
    errors = ["Abort precopy loop", "Save failed"]
    refused(host, outcome, domid, errno.ECANCELED, *errors)
    assert "suspend" not in outcome.of("call")


def test_qemu_refuses_to_log(host, sanitized, image):
    domid = host.create("pvh")
    outcome = save(host, sanitized, domid, image, LIVE, logdirty="-1")
    errors = ["Couldn't enable qemu log-dirty", "Save failed", "Couldn't disable qemu"]
    refused(host, outcome, domid, errno.ECANCELED, *errors)
    assert outcome.of("call") == [f"logdirty {domid} 1", f"logdirty {domid} 0"]


def test_no_such_domain(host, sanitized, image):
    outcome = Run(
        sanitized, host.directory, "save", 4000, image, 0, PLAIN, fd=image
    ).outcome()
    assert (outcome.retval, outcome.errno) == (-1, errno.ESRCH)
    assert outcome.errors == ["Failed to get dominfo (3 = No such process)"]


def test_no_host(sanitized, tmp_path):
    outcome = Run(sanitized, tmp_path, "list").outcome()
    assert (outcome.retval, outcome.errno) == (-1, errno.ENOENT)


def test_reader_gone(host, sanitized):
    domid = host.create(mib=8)
    reading, writing = os.pipe()
    os.close(reading)
    outcome = save(host, sanitized, domid, writing, LIVE)
    os.close(writing)
    assert (outcome.retval, outcome.errno) == (-1, errno.EPIPE)
    assert not host.info(domid)["logdirty"]


def test_wrong_kind_of_domain(host, sanitized, image):
    save(host, sanitized, host.create("pv"), image)
    os.lseek(image, 0, os.SEEK_SET)
    target = host.empty("pvh")
    outcome = restore(host, sanitized, target, image)
    assert (outcome.retval, outcome.errno) == (-1, errno.EBADMSG)
    assert not host.info(target)["valid"]


def test_domain_too_small(host, sanitized, image):
    save(host, sanitized, host.create("pv", 8), image)
    os.lseek(image, 0, os.SEEK_SET)
    outcome = restore(host, sanitized, host.empty("pv", 4), image)
    assert (outcome.retval, outcome.errno) == (-1, errno.EBADMSG)
