"""A parent as libxl is one: spawns the drop-in and speaks libxl's wire with it."""

import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from libxlpy_protocol.enums import Mode
from libxlpy_protocol.libxl.session import LibxlParentSession
from libxlpy_protocol.messages import (
    Answer,
    Checkpoint,
    Complete,
    Log,
    Message,
    Postcopy,
    Progress,
    RestoreResults,
    StaticDataDone,
    Suspend,
    SwitchQemuLogdirty,
)
from libxlpy_protocol.session import Event
from libxlpy_protocol.table import callback_mask
from tests.support.helper_driver import FakeHost

#: Seconds after which a test gives up; far above what anything takes.
LIMIT = 20.0

NEWS = (Log, Progress)
SAVE_CALLS = callback_mask([Suspend, SwitchQemuLogdirty])
REMUS_CALLS = SAVE_CALLS | callback_mask([Postcopy, Checkpoint])
RESTORE_CALLS = callback_mask([StaticDataDone, RestoreResults])
ON_FAKE = Path(__file__).with_name("on_fake.py")

HVM = 2 | 32
SUSPENDED = 4 | 2 << 16
ON, OFF = SwitchQemuLogdirty(7, True), SwitchQemuLogdirty(7, False)
LIVE_HVM = ("logdirty-on", "write 8", "frames 5", "suspend", "logdirty-off")
#: The same, but it can't end: nobody reads the pipe.
ENDLESS = (*LIVE_HVM[:-1], "write 1000000", "cleanup", "logdirty-off")

#: The calls of a live save of an HVM domain, and libxl's answers.
CALLS = ((ON, 0), (Suspend(), 1), (OFF, 0))


def save_argv(
    fd: int, domid: int = 7, flags: int = 0, remus: bool = False
) -> list[str]:
    mask = REMUS_CALLS if remus else SAVE_CALLS
    numbers = (fd, -1, domid, flags, mask, int(remus))
    return ["--save-domain", *map(str, numbers)]


def restore_argv(fd: int, domid: int = 7, remus: bool = False) -> list[str]:
    calls = RESTORE_CALLS | (callback_mask([Checkpoint]) if remus else 0)
    numbers = (fd, -1, domid, 11, 0, 12, 0, calls, int(remus))
    return ["--restore-domain", *map(str, numbers)]


class LibxlParent:
    """One drop-in process and our end of libxl's wire. Use as a context manager."""

    def __init__(
        self,
        host: FakeHost,
        argv: Sequence[str],
        pass_fds: Iterable[int] = (),
        source: int = -1,
        claim: int = 0,
        acks: int = -1,
    ) -> None:
        mode = Mode.RESTORE if argv[:1] == ["--restore-domain"] else Mode.SAVE
        self.session = LibxlParentSession(mode, REMUS_CALLS | RESTORE_CALLS)
        self.seen: list[Message] = []
        self.open_call = 0
        self._events: list[Event] = []
        self._stderr = (host.directory / "stderr").open("w+")
        theirs_in, self.write_fd = os.pipe()
        self.read_fd, theirs_out = os.pipe()
        program = [sys.executable, "-I", str(ON_FAKE)]
        where = [str(host.directory), str(host.library), f"{source},{claim},{acks}"]
        self.process = subprocess.Popen(
            [*program, *where, *argv],
            stdin=theirs_in,
            stdout=theirs_out,
            stderr=self._stderr,
            pass_fds=list(pass_fds),
        )
        os.close(theirs_in)
        os.close(theirs_out)

    def __enter__(self) -> "LibxlParent":
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        self._stderr.close()
        self.hang_up()
        self.stop_reading()

    # -- what libxl does -----------------------------------------------------------

    def next(self) -> Event:
        """Return the next message; fail at the end of the pipe."""
        while not self._events:
            assert select.select([self.read_fd], [], [], LIMIT)[0], "helper is silent"
            data = os.read(self.read_fd, 4096)
            assert data, f"end of file; {self.stderr()}"
            self.session.receive(data)
            self._events = list(iter(self.session.next_event, None))
        event = self._events.pop(0)
        self.seen.append(event.message)
        self.open_call = event.call_id or self.open_call
        return event

    def expect(self, message: Message) -> None:
        """Take news up to this message."""
        while (event := self.next()).message != message:
            assert isinstance(event.message, NEWS), f"{event} before {message}"

    def reply(self, value: int) -> None:
        """Answer the message that was expected last."""
        os.write(self.write_fd, self.session.send(Answer(value), self.open_call))

    def answer(self, message: Message, value: int) -> None:
        self.expect(message)
        self.reply(value)

    def finish(self, *, aborted: bool = False) -> Complete:
        """Take news up to Complete, answer it; the helper must then exit with 0."""
        while not isinstance(message := self.next().message, Complete):
            assert isinstance(message, (*NEWS, RestoreResults)), message
        self.reply(0)
        assert self.wait() == 0
        assert message.aborted is False
        if aborted:
            assert message == Complete(-1, 125, False)
        return message

    def terminate(self) -> None:
        """Do what libxl does to abort."""
        self.process.send_signal(signal.SIGTERM)

    def hang_up(self) -> None:
        if self.write_fd >= 0:
            os.close(self.write_fd)
            self.write_fd = -1

    def stop_reading(self) -> None:
        if self.read_fd >= 0:
            os.close(self.read_fd)
            self.read_fd = -1

    # -- what became of it ---------------------------------------------------------

    def wait(self) -> int:
        """Return its exit status; negative: the signal that ended it."""
        return self.process.wait(LIMIT)

    def stderr(self) -> str:
        self._stderr.seek(0)
        return self._stderr.read()

    def logs(self) -> list[str]:
        return [message.text for message in self.seen if isinstance(message, Log)]

    def trace(self) -> list[str]:
        """Give the names of the messages that came."""
        return [type(message).__name__ for message in self.seen]
