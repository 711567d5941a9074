"""Ctrl-C and SIGTERM end a save in order: one line, guest running, nothing left."""

import os
import signal
from pathlib import Path

import pytest

from tests.support.shell import Shell

STATUS = {signal.SIGINT: 130, signal.SIGTERM: 143}
#: Phase -> what the guest is told to do so that the save stays in it.
PHASES = {"libxc": "", "suspend": "never_ack"}


@pytest.mark.parametrize("signum", STATUS)
@pytest.mark.parametrize("phase", PHASES)
def test_a_signal_ends_a_save_in_order(
    shell: Shell, tmp_path: Path, signum: signal.Signals, phase: str
) -> None:
    image = tmp_path / "image"
    image.write_bytes(b"old")
    with shell.guest("web", memory_mib=64, rate=50_000) as domid:
        shell.ask("misbehave", domid=domid, fault=PHASES[phase])
        with shell.running("save", "--live", "--json", "web", image) as save:
            save.until_phase(phase)
            save.process.send_signal(signum)
            line = save.failure(STATUS[signum])
        assert line == (
            f"xlpy: save of 'web' (domid {domid}) cancelled by {signum.name}; "
            f"guest is running; {image} not written"
        )
        facts = shell.facts("web")
        assert facts["running"]
        assert not facts["logdirty"]
    assert image.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [image]


def test_more_signals_do_not_disturb_the_end(shell: Shell, tmp_path: Path) -> None:
    with shell.guest("web", memory_mib=64, rate=50_000):
        command = ["save", "--live", "--json", "web", tmp_path / "image"]
        with shell.running(*command) as save:
            save.until_phase("libxc")
            for _ in range(5):
                save.process.send_signal(signal.SIGINT)
                save.process.send_signal(signal.SIGTERM)
            line = save.failure(save.process.wait())
        assert save.process.returncode in STATUS.values()
        assert "guest is running" in line
        assert shell.facts("web")["running"]
    assert list(tmp_path.iterdir()) == []


def test_a_writer_that_is_stuck_can_be_interrupted(
    shell: Shell, tmp_path: Path
) -> None:
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    try:
        with (
            shell.guest("web"),
            shell.running("save", "--json", "web", tmp_path / "pipe") as save,
        ):
            save.until_phase("libxc")  # nobody reads: the pipe is full for ever
            save.process.send_signal(signal.SIGINT)
            line = save.failure(130)
            assert line.endswith(f"{tmp_path}/pipe holds no whole domain")
            assert shell.facts("web")["running"]
    finally:
        os.close(reader)


def test_a_killed_helper_harms_neither_guest_nor_file(
    shell: Shell, tmp_path: Path
) -> None:
    with shell.guest("web", memory_mib=64, rate=50_000):
        command = ["save", "--live", "--json", "web", tmp_path / "image"]
        with shell.running(*command) as save:
            pid = save.event()["helper_pid"]
            save.until_phase("precopy")
            os.kill(pid, signal.SIGKILL)
            line = save.failure(1)
        assert "helper" in line
        assert "SIGKILL" in line
        assert "during precopy; guest is running" in line
        facts = shell.facts("web")
        assert facts["running"]
        assert not facts["logdirty"]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("signum", STATUS)
def test_a_restore_that_is_interrupted_leaves_no_domain(
    shell: Shell, tmp_path: Path, signum: signal.Signals
) -> None:
    with shell.guest("web", memory_mib=64):
        shell.good("save", "web", tmp_path / "image")
        data = (tmp_path / "image").read_bytes()
        os.mkfifo(tmp_path / "pipe")
        with (
            shell.running("restore", "--json", tmp_path / "pipe") as restore,
            (tmp_path / "pipe").open("wb") as writer,
        ):
            writer.write(data[: len(data) // 2])
            writer.flush()
            restore.until_phase("libxc")
            restore.process.send_signal(signum)
            line = restore.failure(STATUS[signum])
        assert f"cancelled by {signum.name}; no domain is left of it" in line
        assert shell.domains() == []
