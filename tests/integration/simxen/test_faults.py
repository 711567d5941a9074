"""Every fault shows where it should, once or for ever."""

import asyncio
import json
import socket

import pytest

from tests.support.simxen_clients import Hypervisor, until

REQUEST = "/local/domain/{}/control/shutdown"


def ask_to_suspend(host, domid):
    store = host.xenstore
    store.watch("@releaseDomain", "release")
    store.watch(REQUEST.format(domid), "request")
    store.write(REQUEST.format(domid), "suspend")
    assert store.event() == (REQUEST.format(domid), "request")
    return store


@pytest.mark.parametrize(
    ("fault", "reason"), [("crash", 3), ("reboot", 1), ("poweroff", 0)]
)
def test_guest_shuts_down_otherwise_than_asked(host, fault, reason):
    domid = host.create()
    host.ask("misbehave", domid=domid, fault=fault)
    store = ask_to_suspend(host, domid)
    assert store.event() == (REQUEST.format(domid), "request")
    assert store.event() == ("@releaseDomain", "release")
    assert host.info(domid)["shutdown_reason"] == reason


def test_guest_that_never_acks_leaves_the_request_and_runs_on(host):
    domid = host.create(rate=1000)
    host.ask("misbehave", domid=domid, fault="never_ack", once=True)
    store = ask_to_suspend(host, domid)
    counter = host.info(domid)["counter"]
    until(lambda: host.info(domid)["counter"] > counter)
    assert store.read(REQUEST.format(domid)) == b"suspend"
    assert host.info(domid)["fault"] == ""
    store.write(REQUEST.format(domid), "suspend")
    until(lambda: host.info(domid)["shutdown_reason"] == 2)


def test_guest_that_never_suspends_acks_and_runs_on(host):
    domid = host.create(rate=1000)
    host.ask("misbehave", domid=domid, fault="never_suspend")
    store = ask_to_suspend(host, domid)
    assert store.event() == (REQUEST.format(domid), "request")
    assert store.read(REQUEST.format(domid)) == b""
    counter = host.info(domid)["counter"]
    until(lambda: host.info(domid)["counter"] > counter)
    assert not host.info(domid)["shutdown"]
    host.ask("misbehave", domid=domid, fault="")
    host.suspend(domid)


def test_slow_guest_acks_late_unless_the_request_was_withdrawn(host):
    domid = host.create()
    host.ask("misbehave", domid=domid, fault="slow_ack", seconds=1)
    store = ask_to_suspend(host, domid)
    assert store.read(REQUEST.format(domid)) == b"suspend"
    assert store.event() == (REQUEST.format(domid), "request")
    assert store.event() == ("@releaseDomain", "release")
    host.hypervisor.ok(Hypervisor.RESUME, domid, 1)
    store.ask(18, str(domid))
    host.ask("misbehave", domid=domid, fault="slow_ack", seconds=1, once=True)
    store.write(REQUEST.format(domid), "suspend")
    assert store.event() == (REQUEST.format(domid), "request")
    until(lambda: host.info(domid)["fault"] == "")
    store.write(REQUEST.format(domid), "")
    assert store.event() == (REQUEST.format(domid), "request")
    store.write(REQUEST.format(domid), "suspend")
    until(lambda: host.info(domid)["shutdown_reason"] == 2)


@pytest.mark.parametrize(
    ("fault", "reason"), [("never_suspend", None), ("crash", 3), ("reboot", 1)]
)
def test_hypercall_suspend_can_go_wrong_too(host, fault, reason):
    domid = host.create(type="hvm", pv_drivers=False)
    host.ask("misbehave", domid=domid, fault=fault)
    host.hypervisor.ok(Hypervisor.SHUTDOWN, domid, 2)
    assert host.info(domid)["shutdown_reason"] == reason


# --------------------------------------------------------------------- QMP


class Monitor:
    """A QMP connection, line by line."""

    def __init__(self, host, domid):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(20)
        self.sock.connect(str(host.directory / f"qmp-libxl-{domid}"))
        self.file = self.sock.makefile("rwb")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.file.close()
        self.sock.close()

    def line(self):
        return self.file.readline()

    def send(self, command):
        self.file.write(json.dumps({"execute": command, "id": 1}).encode() + b"\n")
        self.file.flush()

    def ask(self, command):
        self.send(command)
        return json.loads(self.line())

    def negotiate(self):
        self.line()
        assert self.ask("qmp_capabilities") == {"return": {}, "id": 1}
        return self


@pytest.fixture
def monitor(host):
    """An HVM domain and a negotiated connection to its device model."""
    domid = host.create(type="hvm")
    with Monitor(host, domid) as monitor:
        monitor.domid = domid
        yield monitor.negotiate()


def test_qmp_error_is_an_error_reply(host, monitor):
    host.ask("misbehave", domid=monitor.domid, fault="qmp_error", once=True)
    assert monitor.ask("query-status")["error"]["class"] == "GenericError"
    assert monitor.ask("query-status")["return"]["running"]


def test_qmp_garbage_is_no_json(host, monitor):
    host.ask("misbehave", domid=monitor.domid, fault="qmp_garbage", once=True)
    monitor.send("query-status")
    with pytest.raises(ValueError):
        json.loads(monitor.line())


def test_qmp_silent_answers_nothing_to_the_command_it_is_for(host, monitor):
    host.ask(
        "misbehave",
        domid=monitor.domid,
        fault="qmp_silent",
        command="query-version",
    )
    monitor.send("query-version")
    assert "running" in monitor.ask("query-status")["return"]


def test_qmp_die_ends_the_device_model(host, monitor):
    host.ask("misbehave", domid=monitor.domid, fault="qmp_die")
    monitor.send("query-status")
    assert monitor.line() == b""
    path = host.directory / f"qmp-libxl-{monitor.domid}"
    assert path.exists()
    with socket.socket(socket.AF_UNIX) as sock, pytest.raises(ConnectionRefusedError):
        sock.connect(str(path))
    assert host.info(monitor.domid)["qmp_running"] is False


def test_silence_can_begin_with_the_greeting(host):
    domid = host.create(type="hvm")
    fields = {"fault": "qmp_silent", "command": "greeting", "once": True}
    host.ask("misbehave", domid=domid, **fields)
    with Monitor(host, domid) as monitor:
        assert monitor.ask("qmp_capabilities") == {"return": {}, "id": 1}


def test_dead_client_does_not_keep_the_monitor(host, monitor):
    monitor.sock.shutdown(socket.SHUT_RDWR)
    with Monitor(host, monitor.domid) as other:
        assert other.negotiate().ask("query-status")["return"]["running"]


async def test_client_of_the_event_loop_does_all_of_it(host):
    from libxlpy.simxen.client import SimClient
    from libxlpy.simxen.errors import HostNotRunning, SimxenError

    async with SimClient(host.directory) as client:
        domid = await client.create("async", memory_mib=4, rate=100)
        assert (await client.list())[0]["domid"] == domid
        facts = await asyncio.gather(client.info(domid), client.verify(domid))
        assert facts[1]["match"]
        await client.misbehave(domid, "never_ack", once=True)
        with pytest.raises(SimxenError, match="no domain 9"):
            await client.info(9)
        await client.destroy(domid)
        assert await client.list() == []
        await client.stop()
        until(lambda: not host.directory.exists())
        with pytest.raises(HostNotRunning):
            await client.list()
    with pytest.raises(HostNotRunning):
        async with SimClient(host.directory):
            pass
