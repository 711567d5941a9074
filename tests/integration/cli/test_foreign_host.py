"""Root does not believe what is in a host's folder that another user may write."""

import json
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from libxlpy.journal import Identity
from libxlpy.simxen.client import stop_host
from libxlpy.simxen.errors import HostNotRunning
from libxlpy.streams.xl import pack_header
from tests.support.other_user import OTHER
from tests.support.shell import Shell
from tests.unit.journal.entries import entry


@pytest.fixture
def bystander() -> Iterator[subprocess.Popen[bytes]]:
    """A process that a host's folder names as its own."""
    command = [sys.executable, "-c", "input()"]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as process:
        yield process
        process.kill()


@pytest.fixture
def folder(bystander: subprocess.Popen[bytes]) -> Iterator[Path]:
    """What another user has made to look like a host, and its ear."""
    with tempfile.TemporaryDirectory(prefix="xlpy-foreign-") as name:
        folder = Path(name) / "host"
        (folder / "jobs").mkdir(mode=0o700, parents=True)
        process = Identity.of(bystander.pid)
        dead = Identity(process.pid, process.start_time - 1, process.boot_id)
        job = entry(parent=dead, helpers=(process,), on_parent_loss="abort_and_resume")
        (folder / "jobs" / "7.json").write_bytes(job.encode())
        (folder / "jobs" / "7.json").chmod(0o600)
        known = {"pid": process.pid, "start_time": process.start_time}
        (folder / "host.json").write_text(json.dumps({**known, "guests": [known]}))
        os.chown(folder, OTHER, OTHER)
        for path in folder.rglob("*"):
            os.chown(path, OTHER, OTHER)
        yield folder


@pytest.fixture
def ear(folder: Path) -> Iterator[socket.socket]:
    """Who listens at the host's socket."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(folder / "control.sock"))
        sock.listen()
        sock.setblocking(False)
        yield sock


COMMANDS = {
    "list": ["list"],
    "save": ["save", "web", "/dev/null"],
    "restore": ["restore", "/dev/stdin"],
    "jobs": ["jobs"],
    "abort": ["abort", "save-7-abcdef"],
    "report": ["report", "save-7-abcdef"],
    "recover": ["recover"],
    "dry run": ["recover", "--dry-run"],
    "sim start": ["sim", "start"],
    "sim stop": ["sim", "stop"],
    "sim list": ["sim", "list"],
    "sim create": ["sim", "create", "web"],
    "sim destroy": ["sim", "destroy", "web"],
    "sim verify": ["sim", "verify", "web"],
}


def theirs(_folder: Path) -> str:
    return "it belongs to user nobody: run as that user (sudo -u nobody ...)"


def open_to_all(folder: Path) -> str:
    os.chown(folder, 0, 0)
    folder.chmod(0o777)
    return f"it is open to others: chmod go-w {folder}, or choose another folder"


def on_their_way(folder: Path) -> str:
    os.chown(folder, 0, 0)
    os.chown(folder.parent, OTHER, OTHER)
    return f"{folder.parent} belongs to user nobody: run as that user"


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("change", [theirs, open_to_all, on_their_way])
def test_host_that_others_may_change_is_refused_by_root(
    folder: Path,
    ear: socket.socket,
    bystander: subprocess.Popen[bytes],
    change: Callable[[Path], str],
    command: str,
) -> None:
    said = change(folder)
    before = {path: path.stat() for path in folder.rglob("*")}
    image = pack_header(b'{"c_info": {"name": "web"}}', json=True)
    line = Shell(folder).bad(*COMMANDS[command], input=image.decode("latin-1"))
    assert f"in {folder}: " in line
    assert said in line
    assert bystander.poll() is None
    with pytest.raises(BlockingIOError):
        ear.accept()
    assert {path: path.stat() for path in folder.rglob("*")} == before


def test_record_of_another_user_is_not_believed_in_a_folder_of_ours(
    folder: Path, bystander: subprocess.Popen[bytes]
) -> None:
    """As after `chown root` of the folder alone."""
    os.chown(folder, 0, 0)
    folder.chmod(0o700)
    with pytest.raises(HostNotRunning):
        stop_host(folder)
    shell = Shell(folder)
    shell.good("sim", "start")
    line = shell.bad("jobs")
    shell.good("sim", "stop")
    assert "folder of jobs" in line
    assert f"belongs to user {OTHER}: run as that user" in line
    assert bystander.poll() is None
