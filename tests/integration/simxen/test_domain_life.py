"""Create, pause, suspend, resume, crash, restore, destroy: real guests."""

import asyncio
import errno
import os

import psutil
import pytest

from libxlpy.simxen import client
from libxlpy.simxen.errors import SimxenError
from tests.integration.simxen.copying import close, copy_guest
from tests.support.simxen_clients import Hypervisor, until

RUNNING, BLOCKED, PAUSED, SHUTDOWN, HVM = 32, 16, 8, 4, 2
TYPES = ("pv", "hvm", "pvh")


def verified(host, domid):
    found = host.ask("verify", domid=domid)
    assert found["bad"] == 0
    assert found["first_bad"] is None
    assert found["digest_memory"] == found["digest_vcpu"]
    assert found["match"] is True
    return found


@pytest.mark.parametrize("kind", TYPES)
def test_created_guest_is_filled_runs_and_verifies(host, kind):
    domid = host.create(type=kind, rate=20_000)
    before = host.info(domid)["counter"]
    assert until(lambda: host.info(domid)["counter"] > before)
    found = verified(host, domid)
    assert found["pages"] == 1024
    assert found["digest_memory"] != 0
    assert host.hypervisor.flags(domid) == RUNNING | (0 if kind == "pv" else HVM)


def test_uuid_is_kept_and_unique(host):
    uuid = "12345678-1234-5678-1234-567812345678"
    domid = host.create(uuid=uuid)
    assert host.info(domid)["uuid"] == uuid
    assert host.xenstore.read(f"/local/domain/{domid}/vm") == f"/vm/{uuid}".encode()
    values = host.hypervisor.ok(Hypervisor.INFO, domid)
    assert b"".join(v.to_bytes(8, "little") for v in values[8:10]).hex() == (
        uuid.replace("-", "")
    )
    with pytest.raises(SimxenError, match="is taken by domain"):
        host.create("other", uuid=uuid)


def test_idle_guest_is_blocked_and_writes_nothing(host):
    domid = host.create(rate=0)
    assert host.hypervisor.flags(domid) == BLOCKED
    assert host.info(domid)["counter"] == 1024
    assert verified(host, domid) == verified(host, domid)


def test_without_fill_the_memory_is_empty(host):
    domid = host.create(fill=False)
    assert verified(host, domid)["digest_memory"] == 0
    assert host.info(domid)["counter"] == 0


def test_paused_guest_does_not_write(host):
    domid = host.create(rate=2**64 - 1, paused=True)
    assert host.hypervisor.flags(domid) == PAUSED | BLOCKED
    counter = host.info(domid)["counter"]
    first = verified(host, domid)
    assert verified(host, domid) == first
    assert host.info(domid)["counter"] == counter
    host.hypervisor.ok(Hypervisor.UNPAUSE, domid)
    until(lambda: host.info(domid)["counter"] > counter)


def test_pauses_are_counted(host):
    domid, hypervisor = host.create(), host.hypervisor
    hypervisor.ok(Hypervisor.PAUSE, domid)
    hypervisor.ok(Hypervisor.PAUSE, domid)
    hypervisor.ok(Hypervisor.UNPAUSE, domid)
    assert hypervisor.flags(domid) & PAUSED
    hypervisor.ok(Hypervisor.UNPAUSE, domid)
    assert not hypervisor.flags(domid) & PAUSED
    assert hypervisor.call(Hypervisor.UNPAUSE, domid)[:2] == (-1, errno.EINVAL)


@pytest.mark.parametrize("kind", TYPES)
def test_guest_suspends_when_asked_and_resumes(host, kind):
    domid = host.create(type=kind, rate=2**64 - 1)
    hypervisor = host.hypervisor
    host.suspend(domid)
    values = hypervisor.ok(Hypervisor.INFO, domid)
    assert values[1] & SHUTDOWN
    assert values[2] == 2
    assert host.xenstore.read(f"/local/domain/{domid}/control/shutdown") == b""
    counter = host.info(domid)["counter"]
    verified(host, domid)
    assert host.info(domid)["counter"] == counter
    hypervisor.ok(Hypervisor.RESUME, domid, 1)
    until(lambda: host.info(domid)["counter"] > counter)
    facts = host.info(domid)
    assert (facts["suspend_count"], facts["restored_count"]) == (1, 0)
    assert not facts["shutdown"]
    verified(host, domid)


def test_paused_guest_suspends_only_when_unpaused(host):
    domid, store = host.create(paused=True), host.xenstore
    store.watch("@releaseDomain")
    store.write(f"/local/domain/{domid}/control/shutdown", "suspend")
    assert store.read(f"/local/domain/{domid}/control/shutdown") == b"suspend"
    host.hypervisor.ok(Hypervisor.UNPAUSE, domid)
    assert store.event() == ("@releaseDomain", "t")
    assert host.info(domid)["shutdown_reason"] == 2


def test_second_suspend_is_told_after_resume_of_both(host):
    domid, hypervisor, store = host.create(), host.hypervisor, host.xenstore
    for _ in range(3):
        host.suspend(domid)
        hypervisor.ok(Hypervisor.RESUME, domid, 1)
        assert store.ask(18, str(domid)) == b"OK\0"
    assert host.info(domid)["suspend_count"] == 3


@pytest.mark.parametrize(
    ("word", "reason"), [("poweroff", 0), ("halt", 0), ("reboot", 1), ("suspend", 2)]
)
def test_guest_obeys_control_shutdown(host, word, reason):
    domid, store = host.create(), host.xenstore
    store.watch("@releaseDomain")
    store.write(f"/local/domain/{domid}/control/shutdown", word)
    assert store.event() == ("@releaseDomain", "t")
    assert host.info(domid)["shutdown_reason"] == reason


def test_only_a_suspended_domain_resumes(host):
    domid, hypervisor = host.create(), host.hypervisor
    refused = (-1, errno.EINVAL)
    assert hypervisor.call(Hypervisor.RESUME, domid, 1)[:2] == refused
    hypervisor.ok(Hypervisor.SHUTDOWN, domid, 1)
    assert hypervisor.call(Hypervisor.RESUME, domid, 1)[:2] == refused


def test_hvm_without_drivers_suspends_by_hypercall(host):
    domid = host.create(type="hvm", pv_drivers=False, rate=10_000)
    store, hypervisor = host.xenstore, host.hypervisor
    store.watch("@releaseDomain")
    assert store.read(f"/local/domain/{domid}/control/feature-suspend") == b""
    hypervisor.ok(Hypervisor.SHUTDOWN, domid, 2)
    assert store.event() == ("@releaseDomain", "t")
    hypervisor.ok(Hypervisor.SHUTDOWN, domid, 1)
    assert host.info(domid)["shutdown_reason"] == 2
    hypervisor.ok(Hypervisor.RESUME, domid, 1)
    assert host.info(domid)["running"]


def test_guest_process_that_dies_is_a_crash(host):
    domid, store = host.create(), host.xenstore
    store.watch("@releaseDomain")
    host.kill(host.info(domid)["guest_pid"])
    assert store.event() == ("@releaseDomain", "t")
    facts = host.info(domid)
    assert facts["shutdown_reason"] == 3
    assert facts["guest_pid"] is None
    hypervisor = host.hypervisor
    hypervisor.ok(Hypervisor.PAUSE, domid)
    assert hypervisor.call(Hypervisor.RESUME, domid, 1)[:2] == (-1, errno.EINVAL)
    assert hypervisor.ok(Hypervisor.MAP, domid)[1:3] == [0, 0]
    close(hypervisor.fds)
    host.ask("destroy", domid=domid)


def test_guest_that_does_not_stop_is_ended(host):
    domid = host.create(rate=1000)
    psutil.Process(host.info(domid)["guest_pid"]).suspend()
    host.hypervisor.ok(Hypervisor.PAUSE, domid)
    facts = host.info(domid)
    assert facts["shutdown_reason"] == 3
    assert facts["guest_pid"] is None
    assert facts["paused"]


def test_guest_is_shut_down_only_when_it_writes_no_more(host):
    """A toolstack copies its memory from then on."""
    domid = host.create(rate=1000)
    process = psutil.Process(host.info(domid)["guest_pid"])
    asking, looking = host.hypervisor, host.hypervisor
    process.suspend()
    asking.send(Hypervisor.SHUTDOWN, domid, 2)
    until(lambda: not host.info(domid)["running"])
    assert not looking.flags(domid) & SHUTDOWN
    process.resume()
    assert asking.answer()[:2] == (0, 0)
    assert looking.flags(domid) & SHUTDOWN
    assert host.info(domid)["shutdown_reason"] == 2
    host.ask("destroy", domid=domid)


def test_destroyed_domain_leaves_nothing_and_its_number_is_not_reused(host):
    first = host.create(type="hvm")
    store, pid = host.xenstore, host.info(first)["guest_pid"]
    store.watch("@releaseDomain")
    before = set(host.directory.iterdir())
    host.ask("destroy", domid=first)
    assert store.event() == ("@releaseDomain", "t")
    gone = before - set(host.directory.iterdir())
    assert [path.name for path in gone] == [f"qmp-libxl-{first}"]
    for path in (f"/local/domain/{first}", f"/libxl/{first}"):
        assert store.read(path) == "ENOENT"
    assert store.read(f"/local/domain/0/device-model/{first}") == "ENOENT"
    with pytest.raises(ProcessLookupError):
        os.pidfd_open(pid)
    assert host.hypervisor.call(Hypervisor.INFO, first)[:2] == (-1, errno.ESRCH)
    assert host.create() == first + 1


def test_domain_can_be_destroyed_while_another_is_verified(host):
    domid = host.create(memory_mib=64)
    verified(host, domid)
    host.hypervisor.ok(Hypervisor.DESTROY, domid)
    with pytest.raises(SimxenError, match="no domain"):
        host.ask("verify", domid=domid)


# ----------------------------------------------------------------- restore


def test_restored_guest_goes_on_from_where_it_was(host):
    source = host.create("source", rate=2**64 - 1)
    host.suspend(source)
    facts, memory = host.info(source), verified(host, source)
    target = host.create("target", restore=True)
    assert host.info(target)["guest_pid"] is None
    with pytest.raises(SimxenError, match="holds no guest"):
        host.ask("launch", domid=target)
    copy_guest(host, source, target)
    host.ask("launch", domid=target, paused=True)
    assert verified(host, target)["digest_memory"] == memory["digest_memory"]
    host.hypervisor.ok(Hypervisor.UNPAUSE, target)
    until(lambda: host.info(target)["counter"] > facts["counter"])
    restored = host.info(target)
    assert restored["guest_id"] == facts["guest_id"]
    assert restored["restored_count"] == 1
    verified(host, target)
    host.suspend(target)
    verified(host, target)


def test_launch_needs_a_restored_domain_once(host):
    source = host.create("source")
    with pytest.raises(SimxenError, match="not waiting for a launch"):
        host.ask("launch", domid=source)
    target = host.create("target", restore=True)
    copy_guest(host, source, target)
    assert host.hypervisor.call(Hypervisor.RESTORED, target)[:2] == (-1, errno.EINVAL)
    host.ask("launch", domid=target, name="renamed")
    assert host.info(target)["name"] == "renamed"
    assert host.xenstore.read(f"/local/domain/{target}/name") == b"renamed"
    with pytest.raises(SimxenError, match="not waiting for a launch"):
        host.ask("launch", domid=target)


# ----------------------------------------------------------------- tracking


@pytest.mark.parametrize(("tracker", "number"), [("uffd", 1), ("bitmap", 2)])
def test_logdirty_uses_the_tracker_that_was_chosen(host, tracker, number):
    domid = host.create(rate=10_000, tracker=tracker)
    hypervisor = host.hypervisor
    answer = hypervisor.call(Hypervisor.LOGDIRTY, domid, 1)
    if tracker == "uffd" and answer[0]:  # a kernel before 6.7, or one that forbids it
        assert answer[1] == errno.EOPNOTSUPP
    else:
        assert answer[2][0] == number
        assert hypervisor.ok(Hypervisor.INFO, domid)[10] == 1
        again = hypervisor.call(Hypervisor.LOGDIRTY, domid, 1)
        assert again[:2] == (-1, errno.EINVAL)
        assert host.info(domid)["tracker"] == tracker
    for _ in range(2):
        assert hypervisor.ok(Hypervisor.LOGDIRTY, domid, 0)[0] == 0
    facts = host.info(domid)
    assert (facts["logdirty"], facts["tracker"]) == (False, "off")
    verified(host, domid)


def test_automatic_tracker_works_also_while_suspended(host):
    domid = host.create()
    host.suspend(domid)
    assert host.hypervisor.ok(Hypervisor.LOGDIRTY, domid, 1)[0] in (1, 2)
    assert host.hypervisor.ok(Hypervisor.LOGDIRTY, domid, 0)[0] == 0


# --------------------------------------------------------------- hypercalls


def test_list_walks_all_domains(host):
    domids = [host.create(f"d{n}", type=kind) for n, kind in enumerate(TYPES)]
    hypervisor, found, first = host.hypervisor, [], 0
    while True:
        retval, errnoval, values = hypervisor.call(Hypervisor.LIST, 0, first)
        if retval:
            break
        found.append((values[0], values[3], values[7]))
        first = values[0] + 1
    assert errnoval == errno.ENOENT
    assert found == [(d, 1024, 1 if n == 0 else 2) for n, d in enumerate(domids)]


def test_unknown_hypercall_or_domain_is_an_error(host):
    hypervisor = host.hypervisor
    assert hypervisor.call(99, host.create())[:2] == (-1, errno.ENOSYS)
    for op in range(1, 11):
        if op != Hypervisor.LIST:
            assert hypervisor.call(op, 77)[:2] == (-1, errno.ESRCH)


def test_malformed_hypercall_ends_the_connection_only(host):
    hypervisor = host.hypervisor
    hypervisor.sock.send(b"short")
    assert hypervisor.sock.recv(128) == b""
    assert host.hypervisor.call(Hypervisor.LIST)[0] == -1


def test_what_is_tied_ends_with_its_connection(host):
    async def make(*, keep):
        async with client.SimClient(host.directory) as asks:
            domid = await asks.create("tied", memory_mib=4, restore=True, tied=True)
            if keep:
                await asks.keep(domid)
            return domid

    asyncio.run(make(keep=False))
    until(lambda: not host.ask("list")["domains"])
    domid = asyncio.run(make(keep=True))
    assert not host.ask("ping")  # what ended before it was seen
    assert [each["domid"] for each in host.ask("list")["domains"]] == [domid]
