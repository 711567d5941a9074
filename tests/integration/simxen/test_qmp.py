"""The device model's QMP socket, by QEMU's own client, and its DMA."""

import asyncio
import json
import os
import socket

import pytest
from qemu.qmp import EventListener, ExecuteError, QMPClient

from libxlpy.simxen.device_model import read_state
from libxlpy.simxen.errors import SimxenError
from tests.integration.simxen.copying import close, copy_guest
from tests.support.simxen_clients import Hypervisor, until


@pytest.fixture
def hvm(host):
    """An HVM domain with drivers; idle, so that only its device model writes."""
    return host.create("hvm", type="hvm")


@pytest.fixture
async def qmp(host, hvm):
    """A negotiated QEMU client."""
    client = QMPClient("test")
    await client.connect(str(host.directory / f"qmp-libxl-{hvm}"))
    yield client
    await client.disconnect()


def digest(host, domid):
    found = host.ask("verify", domid=domid)
    assert found["match"], found
    return found["digest_memory"]


async def test_status_follows_stop_and_cont(host, hvm, qmp):
    listener = EventListener(names=("STOP", "RESUME"))
    qmp.register_listener(listener)
    assert (await qmp.execute("query-status"))["running"] is True
    assert await qmp.execute("stop") == {}
    assert (await qmp.execute("query-status"))["status"] == "paused"
    assert host.info(hvm)["qmp_running"] is False
    await qmp.execute("cont")
    assert (await listener.get())["event"] == "STOP"
    assert (await listener.get())["event"] == "RESUME"
    qmp.remove_listener(listener)


async def test_device_model_writes_until_stopped_and_not_while_paused(host, hvm, qmp):
    first = digest(host, hvm)
    until(lambda: digest(host, hvm) != first)
    await qmp.execute("stop")
    stopped = digest(host, hvm)
    assert digest(host, hvm) == stopped
    await qmp.execute("cont")
    host.hypervisor.ok(Hypervisor.PAUSE, hvm)
    paused = digest(host, hvm)
    assert digest(host, hvm) == paused


async def test_device_model_writes_on_after_the_guest_suspended(host, hvm, qmp):
    host.suspend(hvm)
    first = digest(host, hvm)
    until(lambda: digest(host, hvm) != first)
    await qmp.execute("stop")
    assert digest(host, hvm) == digest(host, hvm)


async def test_writes_are_logged_only_while_told(host, hvm, qmp):
    hypervisor = host.hypervisor
    nr_pages = hypervisor.ok(Hypervisor.MAP, hvm)[0]
    memory, vcpu = hypervisor.fds
    bitmap_at = 4096 + 4096  # behind the vcpu page and the guest's bitmap

    def logged():
        return os.pread(vcpu, nr_pages // 8, bitmap_at)

    first = digest(host, hvm)
    until(lambda: digest(host, hvm) != first)
    assert logged() == bytes(nr_pages // 8)
    await qmp.execute("xen-set-global-dirty-log", {"enable": True})
    assert host.info(hvm)["qemu_logdirty"] is True
    before = [os.pread(memory, 4096, n * 4096) for n in range(nr_pages)]
    until(lambda: any(logged()))
    await qmp.execute("stop")
    after = [os.pread(memory, 4096, n * 4096) for n in range(nr_pages)]
    changed = {n for n in range(nr_pages) if before[n] != after[n]}
    bits = int.from_bytes(logged(), "little")
    assert changed <= {n for n in range(nr_pages) if bits >> n & 1}
    assert min(changed, default=nr_pages) >= nr_pages - 16
    await qmp.execute("xen-set-global-dirty-log", {"enable": False})
    assert host.info(hvm)["qemu_logdirty"] is False
    close(hypervisor.fds)


async def test_saved_state_goes_to_a_path_or_a_passed_descriptor(host, hvm, qmp):
    path = host.directory / f"qemu-save.{hvm}"
    await qmp.execute("stop")
    await qmp.execute("xen-save-devices-state", {"filename": str(path), "live": True})
    state = path.read_bytes()
    assert state[:4] == b"QEVM"
    assert len(state) > 100_000
    assert read_state(state)["memory_mib"] == 4
    passed = host.directory / "passed"
    with passed.open("wb") as file:
        qmp.send_fd_scm(file.fileno())
        fdset = (await qmp.execute("add-fd"))["fdset-id"]
    name = f"/dev/fdset/{fdset}"
    await qmp.execute("xen-save-devices-state", {"filename": name})
    await qmp.execute("remove-fd", {"fdset-id": fdset})
    assert passed.read_bytes() == state
    passed.unlink()


@pytest.mark.parametrize(
    ("command", "arguments", "text"),
    [
        ("no-such-command", {}, "has not been found"),
        ("xen-set-global-dirty-log", {}, "'enable' is missing"),
        ("xen-set-global-dirty-log", {"enable": 1}, "Invalid parameter type"),
        ("xen-save-devices-state", {"filename": "/none/x"}, "No such file"),
        ("xen-save-devices-state", {"filename": "/dev/fdset/9"}, "not found"),
        ("add-fd", {}, "No file descriptor supplied"),
        ("qmp_capabilities", {}, "already complete"),
    ],
)
async def test_bad_command_is_an_error(qmp, command, arguments, text):
    with pytest.raises(ExecuteError, match=text):
        await qmp.execute(command, arguments)
    assert (await qmp.execute("query-version"))["package"] == "simxen"


async def test_second_client_waits_for_the_first_to_leave(host, hvm):
    path = str(host.directory / f"qmp-libxl-{hvm}")
    first, second = QMPClient("first"), QMPClient("second")
    await first.connect(path)
    connecting = asyncio.create_task(second.connect(path))
    assert (await first.execute("query-status"))["running"]
    assert not connecting.done()
    await first.disconnect()
    await connecting
    assert (await second.execute("query-status"))["running"]
    await second.disconnect()


def test_only_hvm_has_a_device_model(host):
    for kind in ("pv", "pvh"):
        domid = host.create(kind, type=kind)
        assert not (host.directory / f"qmp-libxl-{domid}").exists()
        assert host.info(domid)["qmp_running"] is None


def test_bad_json_is_answered_and_commands_need_negotiation(host, hvm):
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(20)
        sock.connect(str(host.directory / f"qmp-libxl-{hvm}"))
        with sock.makefile("rwb") as file:
            assert "QMP" in json.loads(file.readline())
            for line in (
                b"{]",
                b"[]",
                b"?\n",
                b'{"execute": 3}',
                b'{"execute": "stop"}',
            ):
                file.write(line)
                file.flush()
                assert "error" in json.loads(file.readline())


async def test_restored_device_model_goes_on_from_its_state(host, hvm, qmp):
    until(lambda: digest(host, hvm) != 0)
    host.suspend(hvm)
    await qmp.execute("stop")
    saved = host.directory / f"qemu-save.{hvm}"
    await qmp.execute("xen-save-devices-state", {"filename": str(saved)})
    target = host.create("target", type="hvm", restore=True)
    copy_guest(host, hvm, target)
    with pytest.raises(SimxenError, match=r"qemu-resume.* is missing"):
        host.ask("launch", domid=target)
    resume = host.directory / f"qemu-resume.{target}"
    resume.write_bytes(saved.read_bytes()[:-1] + b"?")
    with pytest.raises(SimxenError, match="damaged"):
        host.ask("launch", domid=target)
    resume.write_bytes(saved.read_bytes())
    host.ask("launch", domid=target)
    assert not resume.exists()
    first = digest(host, target)
    until(lambda: digest(host, target) != first)
