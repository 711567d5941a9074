"""Hosts come and go: side by side, one per directory, and whatever kills them."""

import json
import os
import socket
import stat
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from libxlpy.simxen import client
from libxlpy.simxen.errors import HostNotRunning, SimxenError
from tests.support.simxen_clients import until


def test_two_hosts_know_nothing_of_each_other(make_host):
    one, two = make_host("one"), make_host("two")
    assert one.create("same") == two.create("same") == 1
    one.xenstore.write("/only/here", "1")
    assert two.xenstore.read("/only/here") == "ENOENT"
    client.stop_host(one.directory)
    assert two.ask("verify", domid=1)["match"]


def test_second_host_in_a_directory_is_refused(host):
    with pytest.raises(SimxenError, match=r"already runs .* `xlpy sim stop`"):
        client.start_host(host.directory)
    assert host.ask("ping") == {}


def test_host_is_nobodys_child_and_has_no_terminal(host):
    process = psutil.Process(host.pid)
    assert os.getsid(host.pid) != os.getsid(0)
    assert process.terminal() is None
    assert Path(process.cwd()) == Path("/")


def test_directory_and_sockets_are_closed_to_others(host):
    for path in (host.directory, *host.directory.iterdir()):
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path


def test_stopped_host_leaves_nothing(make_host):
    host = make_host()
    domid = host.create(type="hvm", rate=1000)
    (host.directory / f"qemu-save.{domid}").write_bytes(b"x")
    guest, own = host.info(domid)["guest_pid"], host.pid
    client.stop_host(host.directory)
    assert not host.directory.exists()
    for pid in (guest, own):
        assert not psutil.pid_exists(pid) or is_zombie(pid)
    with pytest.raises(HostNotRunning, match=f"xlpy --host {host.directory} sim start"):
        client.stop_host(host.directory)


def is_zombie(pid):
    return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def test_foreign_files_in_the_directory_stay(tmp_path, make_host):
    (tmp_path / "h").mkdir(mode=0o700)
    (tmp_path / "h" / "qemu-save.notes").write_text("mine")
    host = make_host()
    client.stop_host(host.directory)
    assert [p.name for p in host.directory.iterdir()] == ["qemu-save.notes"]
    (tmp_path / "h" / "qemu-save.notes").unlink()
    host.directory.rmdir()


def test_killed_host_takes_its_guests_and_the_next_one_cleans(make_host):
    host = make_host()
    domids = [host.create(f"d{n}", type="hvm", rate=1000) for n in range(3)]
    guests = [host.info(domid)["guest_pid"] for domid in domids]
    (host.directory / f"qemu-resume.{domids[0]}").write_bytes(b"x")
    host.kill(host.pid)
    for pid in guests:
        until(lambda pid=pid: not psutil.pid_exists(pid) or is_zombie(pid))
    left = {path.name for path in host.directory.iterdir()}
    assert {"hypervisor.sock", "qmp-libxl-1", "qemu-resume.1"} <= left
    with pytest.raises(HostNotRunning):
        host.ask("ping")
    again = make_host()
    assert {path.name for path in again.directory.iterdir()} == {
        "host.lock",
        "host.json",
        "hypervisor.sock",
        "xenstored.sock",
        "control.sock",
    }
    assert again.ask("list") == {"domains": []}
    client.stop_host(again.directory)
    assert not again.directory.exists()


def test_stop_after_a_kill_cleans_too(make_host):
    host = make_host()
    host.create(type="hvm")
    host.kill(host.pid)
    with pytest.raises(HostNotRunning):
        client.stop_host(host.directory)
    assert not host.directory.exists()


def test_guest_process_that_outlived_its_host_is_ended(make_host, tmp_path):
    """By number and start time: a process of another time is not touched."""
    other = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    stale = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    with other, stale:
        start_time = int(
            Path(f"/proc/{stale.pid}/stat").read_text().rpartition(")")[2].split()[19]
        )
        directory = tmp_path / "h"
        directory.mkdir(mode=0o700)
        record = {
            "pid": 1,
            "start_time": 0,
            "guests": [
                {"pid": stale.pid, "start_time": start_time},
                {"pid": other.pid, "start_time": 1},
            ],
        }
        (directory / "host.json").write_text(json.dumps(record))
        host = make_host()
        assert stale.wait(20) == -9
        assert other.poll() is None
        other.kill()
    client.stop_host(host.directory)
    directory.rmdir()


def test_host_that_was_told_sigterm_leaves_nothing(make_host):
    host = make_host()
    host.create()
    psutil.Process(host.pid).terminate()
    until(lambda: not host.directory.exists())


def test_starter_learns_why_a_host_does_not_start(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(SimxenError, match="not a directory"):
        client.start_host(tmp_path / "file")
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    with pytest.raises(SimxenError, match=r"open to others: chmod go-w .*/open"):
        client.start_host(tmp_path / "open")
    with pytest.raises(SimxenError, match="bytes too long for unix sockets"):
        client.start_host(tmp_path / ("x" * 100))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "open"]


def test_many_hosts_started_at_once_in_one_directory_make_one(tmp_path, make_host):
    host = make_host()
    code = (
        "import sys; from libxlpy.simxen.client import start_host\n"
        "try: start_host(sys.argv[1])\n"
        "except Exception as exc: print(type(exc).__name__)"
    )
    starters = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(host.directory)],
            stdout=subprocess.PIPE,
            text=True,
            env={"PYTHONPATH": ":".join(p for p in sys.path if p)},
        )
        for _ in range(3)
    ]
    answers = [starter.communicate(timeout=40)[0].strip() for starter in starters]
    assert answers == ["SimxenError"] * 3
    assert host.ask("ping") == {}


def test_client_that_floods_or_reads_nothing_harms_nobody(host):
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(str(host.directory / "xenstored.sock"))
        sock.sendall(b"\xff" * 16)
        assert sock.recv(100) == b""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(str(host.directory / "control.sock"))
        sock.settimeout(20)
        try:
            sock.sendall(b"x" * (3 << 20))
            assert sock.recv(100) == b""
        except ConnectionError:
            pass  # it hung up while we wrote
    assert host.ask("ping") == {}
