"""Saves and restores between real domains, over every kind of descriptor."""

import errno
import os
import socket
import threading

import pytest

from tests.integration.simxen.c.driving import (
    DEBUG,
    FULL_SPEED,
    LIVE,
    PLAIN,
    REMUS,
    WITH_ALARMS,
    WITH_POLICY,
    Run,
    restore,
    save,
)

KINDS = ["pv", "hvm", "pvh"]
#: Tries at having a guest write in a moment that may be short.
TRIES = 10
FLAGS = {"cold": 0, "live": LIVE, "live, verified": LIVE | DEBUG}


def same(host, source, target):
    """The target is the source as it was suspended, page for page."""
    assert host.whole(source)
    assert host.whole(target)
    assert host.hypervisor.memory(source) == host.hypervisor.memory(target)
    facts = [host.info(domid) for domid in (source, target)]
    assert facts[0]["guest_id"] == facts[1]["guest_id"]
    assert facts[0]["counter"] == facts[1]["counter"]
    assert not facts[0]["logdirty"]


def transfer(host, program, source, target, ends, flags=0):
    """Save and restore at the same time over (reading, writing) ends."""
    reading, writing = ends
    told = host.toolstack(source)
    kinds = (flags, PLAIN)
    saving = Run(
        program,
        host.directory,
        *("save", source, writing, *kinds),
        fd=writing,
        answers=told,
    )
    args = ("restore", target, reading, *kinds)
    restoring = Run(program, host.directory, *args, fd=reading)
    os.close(reading)
    os.close(writing)
    outcomes = []
    thread = threading.Thread(target=lambda: outcomes.append(restoring.outcome()))
    thread.start()
    saved = saving.outcome()
    thread.join()
    return saved, outcomes[0]


def pipe():
    return os.pipe()


def nonblocking_pipe():
    return os.pipe2(os.O_NONBLOCK)


def socket_pair():
    return tuple(end.detach() for end in socket.socketpair())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("flags", FLAGS.values(), ids=FLAGS.keys())
def test_file(host, sanitized, image, kind, flags):
    source = host.create(kind, rate=20_000, vcpus=2)
    saved = save(host, sanitized, source, image, flags)
    assert (saved.retval, saved.errors) == (0, [])
    os.write(image, b"behind the stream")
    target = host.empty(kind)
    os.lseek(image, 0, os.SEEK_SET)
    restored = restore(host, sanitized, target, image)
    assert (restored.retval, restored.errors) == (0, [])
    assert os.read(image, 100) == b"behind the stream"
    same(host, source, target)


@pytest.mark.parametrize("ends", [pipe, nonblocking_pipe, socket_pair])
@pytest.mark.parametrize("flags", [0, LIVE, LIVE | WITH_ALARMS], ids=hex)
def test_moving(host, sanitized, ends, flags):
    source = host.create(mib=8, rate=FULL_SPEED)
    target = host.empty(mib=8)
    outcomes = transfer(host, sanitized, source, target, ends(), flags)
    assert [outcome.retval for outcome in outcomes] == [0, 0]
    same(host, source, target)


def test_clean_under_valgrind(host, plain, image):
    source = host.create("pvh")  # not live: valgrind 3.19 has no pidfd_open
    assert save(host, plain, source, image).retval == 0
    os.lseek(image, 0, os.SEEK_SET)
    target = host.empty("pvh")
    assert restore(host, plain, target, image).retval == 0
    same(host, source, target)


def test_restored_guest_goes_on(host, sanitized, image):
    source = host.create(rate=0)
    save(host, sanitized, source, image)
    os.lseek(image, 0, os.SEEK_SET)
    target = host.empty()
    restore(host, sanitized, target, image)
    host.ask("launch", domid=target)
    assert host.info(target)["restored_count"] == 1
    assert host.whole(target)


def test_appending_to_a_file(host, sanitized, tmp_path):
    source, target = host.create(), host.empty()
    path = tmp_path / "image"
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    assert save(host, sanitized, source, fd).retval == 0
    os.close(fd)
    fd = os.open(path, os.O_RDONLY)
    assert restore(host, sanitized, target, fd).retval == 0
    os.close(fd)
    same(host, source, target)


# ----------------------------------------------------------- what a caller is told


def test_trace_of_a_cold_pv_save(host, sanitized, image):
    domid = host.create()
    outcome = save(host, sanitized, domid, image)
    assert [line for line in outcome.lines if not line.startswith("log")] == [
        "progress 0 0 Start of stream",
        "call suspend",
        "progress 0 0 Domain now suspended",
        "progress 0 1024 Frames",
        "progress 1024 1024 Frames",
        "progress 0 0 End of stream",
        "progress 0 0 Complete",
        "end 0 0 0 0",
    ]


def test_trace_of_a_live_hvm_save(host, sanitized, image):
    domid = host.create("hvm", rate=20_000)
    outcome = save(host, sanitized, domid, image, LIVE)
    calls = outcome.of("call")
    assert calls == [f"logdirty {domid} 1", "suspend", f"logdirty {domid} 0"]
    passes = [line.split(" ", 2)[2] for line in outcome.of("progress")]
    assert passes[:2] == ["Start of stream", "Frames iteration 0"]
    assert passes[-2:] == ["End of stream", "Complete"]
    assert "Frames iteration 5" in passes or "Frames iteration 1" in passes


def test_idle_guest_is_stopped_when_few_pages_are_left(host, sanitized, image):
    domid = host.create(rate=0)
    passes = save(host, sanitized, domid, image, LIVE).of("progress")
    assert not any("Frames iteration 2" in line for line in passes)


def test_busy_guest_is_stopped_after_five_rounds(host, sanitized, image):
    domid = host.create(rate=FULL_SPEED)
    for _ in range(TRIES):  # until it got to write 50 pages in each round
        outcome = save(host, sanitized, domid, image, LIVE)
        host.hypervisor.call(host.hypervisor.RESUME, domid, 1)
        rounds = {line.split(" ", 2)[2] for line in outcome.of("progress")}
        assert "Frames iteration 6" not in rounds
        if "Frames iteration 5" in rounds:
            return
    raise AssertionError(f"fewer rounds {TRIES} times")


def test_policy_sees_libxc_s_numbers(host, sanitized, image):
    domid = host.create(rate=0)
    answers = {"policy": ["0", "0", "0", "0", "1"]}
    outcome = save(host, sanitized, domid, image, LIVE | WITH_POLICY, **answers)
    assert outcome.retval == 0
    assert outcome.of("call policy") == [
        f"policy {numbers}"
        for numbers in ("0 0 1024", "1 1024 -1", "1 1024 0", "2 1024 -1", "2 1024 0")
    ]


def test_list(host, sanitized):
    domid = host.create("pvh", rate=0)
    outcome = Run(sanitized, host.directory, "list").outcome()
    assert outcome.retval == 1
    number, flags, pages = outcome.of("domain")[0].split()
    assert (int(number), int(pages)) == (domid, 1024)
    assert int(flags, 16) & 0x2  # XEN_DOMINF_hvm_guest


# ------------------------------------------------------------------ checkpoints


def checkpointed(host, program, domid, fd, count):
    """Save with ``count`` checkpoints; at the last one the guest stays suspended."""
    left = [count]

    def postcopy():
        left[0] -= 1
        if not left[0]:
            return 0
        host.hypervisor.call(host.hypervisor.RESUME, domid, 1)
        return 1

    answers = {"postcopy": postcopy, "checkpoint": "1"}
    return save(host, program, domid, fd, LIVE, REMUS, **answers)


def test_failover_to_the_last_checkpoint(host, sanitized, image):
    source, target = host.create(rate=20_000), host.empty()
    outcome = checkpointed(host, sanitized, source, image, 4)
    assert outcome.retval == 0  # as libxc: a graceful end is a success that logs
    assert outcome.of("progress")[-1].endswith("Checkpointed save")
    os.lseek(image, 0, os.SEEK_SET)
    restored = restore(host, sanitized, target, image, 0, REMUS, checkpoint="1")
    assert restored.retval == 0
    assert restored.of("call checkpoint") == ["checkpoint"] * 4
    same(host, source, target)


def test_incomplete_checkpoint_is_dropped(host, sanitized, image):
    source = host.create(rate=20_000)
    checkpointed(host, sanitized, source, image, 1)
    before = host.hypervisor.memory(source)
    for _ in range(TRIES):  # until it has written between the last two checkpoints
        target = host.empty()
        os.ftruncate(image, 0)
        os.lseek(image, 0, os.SEEK_SET)
        host.hypervisor.call(host.hypervisor.RESUME, source, 1)
        checkpointed(host, sanitized, source, image, 3)
        os.ftruncate(image, os.fstat(image).st_size - 5)  # inside the last CHECKPOINT
        os.lseek(image, 0, os.SEEK_SET)
        restored = restore(host, sanitized, target, image, 0, REMUS, checkpoint="1")
        assert restored.retval == 0
        assert restored.of("call checkpoint") == ["checkpoint"] * 2
        assert host.whole(target)
        assert host.hypervisor.memory(target) != before
        if host.hypervisor.memory(target) != host.hypervisor.memory(source):
            return
    raise AssertionError(f"the last checkpoint was taken {TRIES} times")


@pytest.mark.parametrize("answer", ["0", "2"])
def test_first_checkpoint_refused(host, sanitized, image, answer):
    source, target = host.create(), host.empty()
    checkpointed(host, sanitized, source, image, 2)
    os.lseek(image, 0, os.SEEK_SET)
    outcome = restore(host, sanitized, target, image, 0, REMUS, checkpoint=answer)
    assert (outcome.retval, outcome.errno) == (-1, errno.ECANCELED)
    assert not host.info(target)["valid"]
