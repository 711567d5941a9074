"""The example daemon under a real supervisor, killed in the middle of a save."""

import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from libxlpy.simxen.client import request
from libxlpy.streams import verify
from tests.integration.supervision.listener import PATIENCE, Listener, listening
from tests.support.guest import Guest
from tests.support.shell import environment

OLD = b"an older save\n"

pytestmark = pytest.mark.timeout(150)


class Supervised:
    """The daemon in a service folder of s6."""

    def __init__(self, folder: Path, host: Path, listener: Listener) -> None:
        self.folder = folder / "xlpyd"
        self.socket = folder / "socket"
        self.listener = listener
        self.folder.mkdir()
        daemon = [sys.executable, "-m", "libxlpy.examples.xlpyd", str(self.socket)]
        arguments = ["--backend", "simxen", "--host", str(host), "--drain", "0.1"]
        run = self.folder / "run"
        run.write_text(f"#!/bin/sh\nexec {shlex.join([*daemon, *arguments])}\n")
        run.chmod(0o755)
        told = {"NOTIFY_SOCKET": listener.address}
        self.process = subprocess.Popen(
            ["s6-supervise", str(self.folder)],
            env={**environment(), **told},
            stderr=subprocess.PIPE,
        )
        listener.until("READY=1")

    def pid(self) -> int:
        """Give the daemon's process, as s6 knows it."""
        command = ["s6-svstat", "-o", "pid", str(self.folder)]
        return int(subprocess.check_output(command))

    def ask(self, line: str) -> socket.socket:
        """Send a request; its answer comes on the socket."""
        sock = socket.socket(socket.AF_UNIX)
        sock.settimeout(PATIENCE)
        sock.connect(str(self.socket))
        sock.sendall(f"{line}\n".encode())
        return sock

    def answer(self, line: str) -> str:
        """Send a request and wait for its answer."""
        with self.ask(line) as sock:
            return answer(sock)

    def stop(self) -> str:
        """Have the supervisor stop the daemon and end; give what both logged."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.communicate(timeout=PATIENCE)[1].decode()


def answer(sock: socket.socket) -> str:
    with sock.makefile() as file:
        return file.readline().rstrip("\n")


@pytest.fixture
def xlpyd(host: Path, tmp_path: Path) -> Iterator[Supervised]:
    assert shutil.which("s6-supervise"), "not installed: run scripts/test"
    with listening() as listener:
        supervised = Supervised(tmp_path, host, listener)
        yield supervised
        if supervised.process.poll() is None:
            supervised.stop()


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "image"
    path.write_bytes(OLD)
    return path


@pytest.mark.parametrize("kind", ["pv", "hvm"])
def test_killed_in_a_save_and_restarted(host, xlpyd, image, kind):
    with Guest(host, kind) as guest:
        guest.misbehave("never_ack")
        with xlpyd.ask(f"save {guest.name} {image}") as sock:
            xlpyd.listener.until_status("suspend")
            first = xlpyd.pid()
            os.kill(first, signal.SIGKILL)
            assert answer(sock) == ""
        xlpyd.listener.until("READY=1")  # the supervisor has brought it back
        assert xlpyd.pid() != first
        guest.assert_untouched()
        assert image.read_bytes() == OLD
        assert [each.name for each in image.parent.glob("*.partial")] == []
        assert list((host / "jobs").glob("*.json")) == []
        request(host, "misbehave", domid=guest.domid, fault="")
        said = xlpyd.answer(f"save {guest.name} {image}")
        assert said.startswith("saved "), said
        with image.open("rb") as file:
            assert verify(file.fileno()).pages
        guest.assert_untouched()


def test_stop_drains(host, xlpyd, image):
    with Guest(host, "pv") as guest:
        guest.misbehave("never_ack")
        with xlpyd.ask(f"save {guest.name} {image}") as sock:
            xlpyd.listener.until_status("suspend")
            logged = xlpyd.stop()
            said = answer(sock)
        assert said.startswith("failed: ")
        assert "the service stops (guest running)" in said
        assert "drained: Drained(ended=(), cancelled=('save-" in logged
        xlpyd.listener.until("STOPPING=1")
        guest.assert_untouched()
        assert image.read_bytes() == OLD


def test_bad_requests_are_answered_in_one_line(xlpyd, image):
    assert xlpyd.answer("shutdown") == "failed: the request is: save DOMAIN FILE"
    assert xlpyd.answer(f"save nobody {image}") == "failed: no such domain: nobody"
    assert "no request of one line" in xlpyd.answer("x" * 20000)


def test_bad_socket_is_one_line(host, tmp_path):
    command = [sys.executable, "-m", "libxlpy.examples.xlpyd", str(tmp_path / "no/s")]
    done = subprocess.run(
        [*command, "--host", str(host)],
        capture_output=True,
        text=True,
        check=False,
        env={**environment(), "WATCHDOG_USEC": "soon"},
        timeout=PATIENCE,
    )
    assert done.returncode == 1
    assert done.stderr == "xlpyd: WATCHDOG_USEC 'soon' is no number of microseconds\n"
