"""Sockets and pipes of jobs outlive their daemon: the supervisor keeps them for it."""

import os
import select
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from libxlpy import Context, SuspendFlags, UsageError
from libxlpy.supervision import Service, Supervisor
from tests.integration.supervision.listener import PATIENCE, Listener, listening
from tests.support.guest import Guest, aside, reach
from tests.support.shell import environment

LIVE = SuspendFlags.LIVE
ROOM = 4


@pytest.fixture
def listener():
    with listening() as found:
        yield found


def ended(fd: int) -> bool:
    """Tell whether the other end of a pipe or socket has been closed everywhere."""
    poll = select.poll()
    poll.register(fd, select.POLLHUP)
    return any(what & select.POLLHUP for _, what in poll.poll(0))


# ----- in one life --------------------------------------------------------------------


async def test_socket_is_kept_as_long_as_its_job_runs(
    ctx: Context, pv: Guest, listener
):
    pv.misbehave("never_ack")
    supervisor = Supervisor(listener.address, room=ROOM)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        async with Service(ctx, supervisor):
            job = await ctx.domain_suspend(pv.domid, ours.fileno(), LIVE)
            assert await aside(listener.until, "FDNAME=") == f"libxlpy-{job.name}"
            [kept] = listener.fds
            assert await aside(os.path.sameopenfile, kept, ours.fileno())
            await reach(job, "libxc")
            await job.cancel()
            assert await aside(listener.until, "FDNAME=") == f"libxlpy-{job.name}"
    named = [each for each in listener.told if each.startswith("FDSTORE")]
    assert named == ["FDSTORE=1", "FDSTOREREMOVE=1"]


@pytest.mark.parametrize(("room", "kind"), [(ROOM, "file"), (0, "pipe")])
async def test_file_is_not_kept_nor_what_there_is_no_room_for(
    ctx: Context, pv: Guest, listener, tmp_path, room: int, kind: str
):
    reader, writer = os.pipe()
    if kind == "file":
        os.close(writer)
        writer = await aside(os.open, tmp_path / "image", os.O_WRONLY | os.O_CREAT)
    pv.misbehave("never_ack")
    async with Service(ctx, Supervisor(listener.address, room=room)):
        job = await ctx.domain_suspend(pv.domid, writer, LIVE)
        await reach(job, "start")
        await job.cancel()
    await aside(listener.until, "STOPPING=1")
    os.close(reader)
    os.close(writer)
    assert listener.fds == []
    assert not [each for each in listener.told if "FDSTORE" in each]


async def test_kept_streams_are_taken_or_closed(ctx: Context, listener):
    taken_at, taken = os.pipe()
    left_at, left = os.pipe()
    other_at, other = os.pipe()
    handed = {"libxlpy-save-7-a": taken, "libxlpy-save-8-b": left, "web.socket": other}
    supervisor = Supervisor(listener.address, room=2, handed=handed)
    async with Service(ctx, supervisor) as service:
        assert not os.get_inheritable(taken)
        assert service.take_stream("save-7-a") == taken
        assert service.take_stream("save-7-a") is None
        assert service.take_stream("web.socket") is None
        assert not ended(left_at)
        service.ready()
        assert ended(left_at)
        names = {await aside(listener.until, "FDNAME=") for _ in range(2)}
        assert names == {"libxlpy-save-7-a", "libxlpy-save-8-b"}
    for fd in (taken, taken_at, left_at, other, other_at):
        os.close(fd)


# ----- in two -------------------------------------------------------------------------


#: Hands a descriptor over as sd_listen_fds(3) has it.
HANDED = """
import os, sys
kept, *daemon = sys.argv[1:]
os.dup2(int(kept), 3)
os.close(int(kept))
os.environ["LISTEN_PID"] = str(os.getpid())
os.execv(daemon[0], daemon)
"""


class Xlpyd:
    """The daemon with a supervisor that keeps descriptors, which is us."""

    def __init__(
        self, listener: Listener, host: Path, folder: Path, kept: str = ""
    ) -> None:
        self.socket = folder / "socket"
        daemon = [sys.executable, "-m", "libxlpy.examples.xlpyd", str(self.socket)]
        daemon += ["--backend", "simxen", "--host", str(host)]
        told = {"NOTIFY_SOCKET": listener.address, "FDSTORE": "1"}
        if kept:
            daemon = [sys.executable, "-c", HANDED, str(listener.fds[-1]), *daemon]
            told |= {"LISTEN_FDS": "1", "LISTEN_FDNAMES": kept}
        self.process = subprocess.Popen(
            daemon, env={**environment(), **told}, pass_fds=listener.fds
        )
        listener.until("READY=1")

    def __enter__(self) -> "Xlpyd":
        return self

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        self.process.wait(PATIENCE)

    def save(self, guest: Guest, path: Path) -> socket.socket:
        """Ask for a save."""
        sock = socket.socket(socket.AF_UNIX)
        sock.settimeout(PATIENCE)
        sock.connect(str(self.socket))
        sock.sendall(f"save {guest.name} {path}\n".encode())
        return sock


def test_peer_sees_the_end_once_the_next_life_has_put_all_right(
    host, pv, listener, tmp_path
):
    pv.misbehave("never_ack")
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    with Xlpyd(listener, host, tmp_path) as first, first.save(pv, pipe) as client:
        kept = listener.until("FDNAME=")
        os.set_blocking(reader, True)
        assert os.read(reader, 4) == b"Xen "
        first.process.send_signal(signal.SIGKILL)
        assert client.recv(1) == b""
        first.process.wait(PATIENCE)
    with Xlpyd(listener, host, tmp_path, kept):
        pv.assert_untouched()
        while "FDSTOREREMOVE=1" not in listener.told:  # before READY, if there was room
            listener.until("FDNAME=")
        named = [each for each in listener.told if each.startswith("FDNAME=")]
        assert named == [f"FDNAME={kept}"] * 2
        os.close(listener.fds.pop())  # as the supervisor does
        while os.read(reader, 1 << 16):
            pass  # to its end: nobody has it open any more
    os.close(reader)


# ----- the environment ----------------------------------------------------------------


def told(**more: str) -> dict[str, str]:
    return {"LISTEN_PID": str(os.getpid()), **more}


def test_environment_with_descriptors():
    environment = told(LISTEN_FDS="2", LISTEN_FDNAMES="web:libxlpy-save-7-a")
    supervisor = Supervisor.of({**environment, "FDSTORE": "16"})
    assert supervisor == Supervisor("", None, 16, {"web": 3, "libxlpy-save-7-a": 4})
    assert Supervisor.of({**environment, "LISTEN_PID": "1"}).handed == {}
    assert Supervisor.of(told(LISTEN_FDS="2")).handed == {}
    assert Supervisor.of(told()).handed == {}


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        (told(LISTEN_FDS="two"), "LISTEN_FDS 'two' is no number of descriptors"),
        (told(LISTEN_FDS="3", LISTEN_FDNAMES="a:b"), "LISTEN_FDS 3 does not fit"),
        ({"FDSTORE": "-1"}, "FDSTORE '-1' is no number of descriptors"),
    ],
)
def test_bad_environment_is_one_clear_line(environment, said):
    with pytest.raises(UsageError, match=said):
        Supervisor.of(environment)


async def test_descriptor_that_is_not_open_is_one_clear_line(ctx: Context):
    supervisor = Supervisor(handed={"libxlpy-save-7-a": 1 << 20})
    with pytest.raises(UsageError, match=r"descriptor 1048576 .* is not open"):
        Service(ctx, supervisor)
