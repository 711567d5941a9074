"""A signal at any other moment than in a job: one line, the status, nothing left."""

import contextlib
import os
import signal
import socket
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from libxlpy.cli.terminal.signals import signal_name
from libxlpy.simxen.directory import CONTROL_SOCKET
from tests.support.shell import XLPY, Shell, environment

#: Not all of those that are taken: a shell's background has some ignored.
STATUS = {
    signal.SIGINT: 130,
    signal.SIGTERM: 143,
    signal.SIGUSR1: 138,
    signal.SIGRTMIN + 1: 163,
    signal.SIGRTMAX: 192,
}
#: A module of that name that stops whoever loads it: a slow disk, at that point.
SLOW_MODULE = "open({!r}).read()\n"
#: xlpy on a disk that takes as long as it is told to.
SLOW_DISK = """
import os, sys
import libxlpy.cli.main
real, gate = os.fsync, sys.argv.pop(1)
def fsync(fd):
    os.fsync = real
    with open(gate) as wait:
        wait.read()
    real(fd)
os.fsync = fsync
sys.exit(libxlpy.cli.main.main())
"""


@contextlib.contextmanager
def at_gate(gate: Path) -> Iterator[None]:
    """Make a FIFO's reader wait while this lasts; it begins once there is one."""
    with gate.open("wb"):
        yield


@pytest.fixture
def gate(tmp_path: Path) -> Path:
    path = tmp_path / "gate"
    os.mkfifo(path)
    return path


@pytest.mark.parametrize("signum", STATUS)
@pytest.mark.parametrize("module", ["click", "msgpack"])
def test_a_signal_while_it_loads(
    shell: Shell, tmp_path: Path, gate: Path, signum: int, module: str
) -> None:
    (tmp_path / f"{module}.py").write_text(SLOW_MODULE.format(str(gate)))
    path = os.pathsep.join([str(tmp_path), environment()["PYTHONPATH"]])
    slow = {**environment(), "PYTHONPATH": path}
    with shell.running("list", env=slow) as command, at_gate(gate):
        command.process.send_signal(signum)
        line = command.failure(STATUS[signum])
    assert line == f"xlpy: stopped by {signal_name(signum)}; nothing was changed"


SILENT: dict[str, Callable[[Path], list[object]]] = {
    "verify": lambda gate: ["verify", gate],
    "inspect": lambda gate: ["inspect", gate],
    "inspect records": lambda gate: ["inspect", "--records", gate],
    "restore": lambda gate: ["restore", gate],
    "configuration": lambda gate: ["save", "web", gate.with_name("image"), gate],
}


@pytest.mark.parametrize("signum", STATUS)
@pytest.mark.parametrize("case", SILENT)
def test_a_signal_while_it_waits_for_a_file(
    shell: Shell, gate: Path, signum: int, case: str
) -> None:
    with (
        shell.guest("web"),
        shell.running(*SILENT[case](gate)) as command,
        at_gate(gate),
    ):
        command.process.send_signal(signum)
        line = command.failure(STATUS[signum])
        assert shell.facts("web")["running"]
    assert line == f"xlpy: stopped by {signal_name(signum)}; nothing was changed"
    assert list(gate.parent.iterdir()) == [gate]


def test_a_wait_for_whoever_writes_a_pipe_is_told(shell: Shell, gate: Path) -> None:
    with contextlib.ExitStack() as running:
        commands = [
            running.enter_context(shell.running(*arguments(gate)))
            for arguments in SILENT.values()
        ]
        for command in commands:
            assert command.process.stderr is not None
            line = command.process.stderr.readline().decode()
            assert line.strip() == f"waiting: somebody to write into {gate}"
            command.process.send_signal(signal.SIGTERM)
            stopped = command.failure(STATUS[signal.SIGTERM])
            assert stopped == "xlpy: stopped by SIGTERM; nothing was changed"


@pytest.mark.parametrize("options", [[], ["-c"]])
def test_a_signal_at_the_last_steps_of_a_save_comes_too_late(
    shell: Shell, tmp_path: Path, gate: Path, options: list[str]
) -> None:
    slow = [*XLPY[:1], "-c", SLOW_DISK, str(gate)]
    command = shell.command("save", *options, "web", tmp_path / "image")
    with shell.guest("web"):
        with shell.started([*slow, *command[len(XLPY) :]]) as save:
            with at_gate(gate):
                save.process.send_signal(signal.SIGTERM)
            _, errors = save.process.communicate()
        assert save.process.returncode == 0
        line = errors.decode().splitlines()[-1]
        guest = "running" if options else "gone"
        assert line.startswith("saved 'web' (domid ")
        assert line.endswith(f"guest is {guest}; SIGTERM came too late")
        assert [f["running"] for f in shell.domains()] == ([True] if options else [])
    assert "valid" in shell.good("verify", tmp_path / "image")


class Relay:
    """Stands between a command and a host, and holds what the command asks for."""

    def __init__(self, folder: Path, host: Path) -> None:
        self.folder = folder
        self._to = host / CONTROL_SOCKET
        self._listener = socket.create_server(
            str(folder / CONTROL_SOCKET), family=socket.AF_UNIX
        )

    @contextlib.contextmanager
    def request(self, do: str) -> Iterator[None]:
        """Take requests up to one of this kind; it goes on when the block is left."""
        while True:
            with self._listener.accept()[0] as asking:
                line = asking.makefile("rb").readline()
                wanted = f'"do": "{do}"'.encode() in line
                if wanted:
                    yield
                if line:  # else it was a look whether there is a host
                    self._pass_on(asking, line)
            if wanted:
                return

    def _pass_on(self, asking: socket.socket, line: bytes) -> None:
        with socket.socket(socket.AF_UNIX) as host:
            host.connect(str(self._to))
            host.sendall(line)
            with contextlib.suppress(BrokenPipeError):  # nobody waits any more
                asking.sendall(host.makefile("rb").readline())

    def close(self) -> None:
        self._listener.close()


@pytest.fixture
def relay(shell: Shell) -> Iterator[Relay]:
    with tempfile.TemporaryDirectory(prefix="xlpy-cli-") as name:
        relay = Relay(Path(name), shell.host)
        try:
            yield relay
        finally:
            relay.close()


@pytest.mark.parametrize("signum", STATUS)
@pytest.mark.parametrize("command", [["list"], ["verify", "web"]])
def test_a_signal_while_the_host_is_asked(
    shell: Shell, relay: Relay, signum: int, command: list[str]
) -> None:
    through = Shell(relay.folder)
    with (
        shell.guest("web"),
        through.running("sim", *command) as asking,
        relay.request(command[0]),
    ):
        asking.process.send_signal(signum)
        line = asking.failure(STATUS[signum])
    assert line == f"xlpy: stopped by {signal_name(signum)}; nothing was changed"


def test_a_domain_whose_creation_is_interrupted_is_gone(
    shell: Shell, relay: Relay
) -> None:
    with Shell(relay.folder).running("sim", "create", "web") as create:
        with relay.request("create"):
            create.process.send_signal(signal.SIGTERM)
        with relay.request("destroy"):
            assert shell.facts("web")
        line = create.failure(143)
    assert line == "xlpy: stopped by SIGTERM; nothing was changed"
    assert shell.domains() == []


def test_a_second_signal_does_not_wait_for_the_host(shell: Shell, relay: Relay) -> None:
    with (
        Shell(relay.folder).running("sim", "create", "web") as create,
        relay.request("create"),
    ):
        create.process.send_signal(signal.SIGTERM)
        create.process.send_signal(signal.SIGINT)
        line = create.failure(create.process.wait())
    assert line.endswith("; the host may do it all the same")
    shell.good("sim", "destroy", "web")


def test_a_destroy_that_is_interrupted_says_what_may_be(
    shell: Shell, relay: Relay
) -> None:
    with shell.guest("web") as domid:
        destroy = Shell(relay.folder).running("sim", "destroy", str(domid))
        with destroy as command, relay.request("destroy"):
            command.process.send_signal(signal.SIGTERM)
            line = command.failure(143)
    assert line == "xlpy: stopped by SIGTERM; the host may do it all the same"
