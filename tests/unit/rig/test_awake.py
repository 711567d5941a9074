"""The rig wakes a machine that sleeps for ever, and leaves one that works alone."""

import importlib.util
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

AWAKE = Path(__file__).parents[3] / "scripts/xen_rig/awake.py"


@pytest.fixture
def awake(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The rig's module; it takes a process for asleep at the second look."""
    spec = importlib.util.spec_from_file_location("awake", AWAKE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "ASLEEP", 0.0)
    return module


@pytest.fixture
def idle() -> Iterator[int]:
    """A process that uses no processor."""
    argv = [sys.executable, "-c", "input()"]
    with subprocess.Popen(argv, stdin=subprocess.PIPE) as process:
        os.kill(process.pid, signal.SIGSTOP)
        os.waitpid(process.pid, os.WUNTRACED)
        yield process.pid
        process.kill()


class Qemu(threading.Thread):
    """Speaks QMP to one peer."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._listener = socket.create_server(str(path), family=socket.AF_UNIX)
        self.commands: list[dict[str, object]] = []

    def run(self) -> None:
        with (
            self._listener,
            self._listener.accept()[0] as peer,
            peer.makefile("rw") as qmp,
        ):
            qmp.write('{"QMP": {}}\n')
            qmp.flush()
            for line in qmp:
                self.commands.append(json.loads(line))
                qmp.write('{"return": {}}\n')
                qmp.flush()


def test_sleeper_gets_an_interrupt(awake, idle: int, tmp_path: Path, capsys) -> None:
    qemu = Qemu(tmp_path / "qmp")
    qemu.start()
    waker = awake.Waker(tmp_path / "qmp", "code", 4096)
    waker.look(idle)
    assert capsys.readouterr().err == ""
    waker.look(idle)
    qemu.join()
    size = {"device": "code", "size": 4096}
    assert qemu.commands == [
        {"execute": "qmp_capabilities"},
        {"execute": "block_resize", "arguments": size},
    ]
    assert "woken" in capsys.readouterr().err


def test_what_works_is_left_alone(awake, tmp_path: Path, capsys) -> None:
    waker = awake.Waker(tmp_path / "qmp", "code", 4096)
    for _ in range(3):
        used = awake.processor_time(os.getpid())
        while awake.processor_time(os.getpid()) == used:
            pass
        waker.look(os.getpid())
    assert capsys.readouterr().err == ""


def test_no_qemu_to_wake_is_said(awake, idle: int, tmp_path: Path, capsys) -> None:
    waker = awake.Waker(tmp_path / "qmp", "code", 4096)
    waker.look(idle)
    waker.look(idle)
    assert "did not wake it" in capsys.readouterr().err
