"""A parent without asyncio: drives one real helper over its two pipes, step by step."""

import os
import select
import signal
import subprocess
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from libxlpy.process.packages import helper_python
from libxlpy_protocol.enums import Mode, Op
from libxlpy_protocol.hello import MIN_VERSION, VERSION
from libxlpy_protocol.messages import (
    Answer,
    Complete,
    DomainOp,
    Hello,
    Log,
    Message,
    OpResult,
    Phase,
    PrecopyPolicy,
    Progress,
    Release,
    SaveLibxc,
    Start,
    Stat,
    SuspendEvent,
)
from libxlpy_protocol.session import Event, ParentSession
from libxlpy_protocol.table import CALLS, callback_mask

#: Seconds after which a test gives up; far above what anything takes.
LIMIT = 20.0

MessageT = TypeVar("MessageT", bound=Message)
NEWS = (Log, Progress, Stat, Phase, SuspendEvent)
#: Calls that a parent offers which leaves libxc to the helper.
OFFERED = frozenset(CALLS) - {SaveLibxc}
#: And one whose saves go on as libxc itself would have it.
ALL_BUT_POLICY = OFFERED - {PrecopyPolicy}


class Parent:
    """One helper process and our session with it. Use as a context manager."""

    def __init__(
        self,
        arguments: Iterable[str],
        pass_fds: Iterable[int] = (),
        env: dict[str, str] | None = None,
    ) -> None:
        self.session = ParentSession()
        self.seen: list[Message] = []
        self.stderr = b""
        self.releases = True  # answer Complete as a parent does
        self._events: list[Event] = []
        theirs_in, self.write_fd = os.pipe()
        self.read_fd, theirs_out = os.pipe()
        argv = helper_python("libxlpy_helper")
        self.process = subprocess.Popen(
            [*argv, "--parent", str(os.getpid()), *arguments],
            stdin=theirs_in,
            stdout=theirs_out,
            stderr=subprocess.PIPE,
            pass_fds=list(pass_fds),
            env=env,
            start_new_session=True,
        )
        os.close(theirs_in)
        os.close(theirs_out)

    def __enter__(self) -> "Parent":
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.communicate()
        self.hang_up()
        os.close(self.read_fd)

    # -- what a parent says --------------------------------------------------------

    def greet(self) -> Hello:
        self.send(Hello(VERSION, MIN_VERSION, "test"))
        return self.expect(Hello)

    def greet_answered(self, hello: Message) -> Hello:
        """Say hello to a helper whose own hello was read already."""
        assert isinstance(hello, Hello)
        self.send(Hello(VERSION, MIN_VERSION, "test"))
        return hello

    def start(
        self,
        mode: Mode = Mode.SAVE,
        calls: Iterable[type[Message]] = OFFERED,
        **fields: object,
    ) -> None:
        self.send(Start(mode=mode, callback_mask=callback_mask(calls), **fields))

    def send(self, message: Message, call_id: int = 0) -> None:
        self.write(self.session.send(message, call_id))

    def write(self, data: bytes) -> None:
        os.write(self.write_fd, data)

    def op(self, op: Op, domid: int, argument: int = 0) -> OpResult:
        self.send(DomainOp(op, domid, argument))
        return self.expect(OpResult)

    def hang_up(self) -> None:
        if self.write_fd >= 0:
            os.close(self.write_fd)
            self.write_fd = -1

    # -- what it hears -------------------------------------------------------------

    def next(self) -> Event:
        """Return the next event; fail at the end of the pipe."""
        while not self._events:
            assert select.select([self.read_fd], [], [], LIMIT)[0], "helper is silent"
            data = os.read(self.read_fd, 4096)
            self.session.receive(data)
            self._events = list(iter(self.session.next_event, None))
            assert data, f"end of file; {self.read_stderr()}"
        event = self._events.pop(0)
        self.seen.append(event.message)
        if isinstance(event.message, Complete) and self.releases:
            with suppress(BrokenPipeError):  # whose guest has ended waits for nobody
                self.send(Release())
        return event

    def expect(self, kind: type[MessageT]) -> MessageT:
        """Return the next message of this type; only news may come before it."""
        message = self.expect_event(kind).message
        assert isinstance(message, kind)
        return message

    def expect_event(self, kind: type[Message]) -> Event:
        while not isinstance((event := self.next()).message, kind):
            assert isinstance(event.message, NEWS), f"{event} before {kind.__name__}"
        return event

    def until(self, wanted: Callable[[Message], bool]) -> Message:
        """Return the first news that is wanted."""
        while not wanted(message := self.next().message):
            assert isinstance(message, NEWS), message
        return message

    def answer(self, kind: type[MessageT], value: int | bytes | None) -> MessageT:
        """Wait for a call of this type and answer it."""
        event = self.expect_event(kind)
        self.send(Answer(value), event.call_id)
        assert isinstance(event.message, kind)
        return event.message

    def serve(self, answers: dict[type[Message], int | bytes | None]) -> Complete:
        """Answer every call from a table until the operation is complete."""
        while not isinstance((event := self.next()).message, Complete):
            if type(event.message) in answers:
                self.send(Answer(answers[type(event.message)]), event.call_id)
        return event.message

    # -- what became of it ---------------------------------------------------------

    def wait(self) -> int:
        """Return its exit status; negative: the signal that ended it."""
        status = self.process.wait(LIMIT)
        self.read_stderr()
        return status

    def read_stderr(self) -> str:
        assert self.process.stderr is not None
        os.set_blocking(self.process.stderr.fileno(), False)
        self.stderr += self.process.stderr.read() or b""
        return self.stderr.decode(errors="replace")

    def wait_until_idle(self) -> None:
        """Wait until all its threads sleep: it did what it could without us."""
        tasks = Path(f"/proc/{self.process.pid}/task")
        asleep = 0
        while asleep < 20:
            states = [(task / "stat").read_text() for task in tasks.iterdir()]
            idle = all(text.rpartition(")")[2].split()[0] == "S" for text in states)
            asleep = asleep + 1 if idle else 0
            select.select([], [], [], 0.005)

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)

    def logs(self) -> list[str]:
        return [message.text for message in self.seen if isinstance(message, Log)]

    def phases(self) -> list[str]:
        return [message.name for message in self.seen if isinstance(message, Phase)]


class FakeHost:
    """The directory that the fake libxenguest reads."""

    def __init__(self, directory: Path, library: Path) -> None:
        self.directory = directory
        self.library = library
        self.domains({7: 32})
        self.script()

    def domains(self, flags: dict[int, int]) -> None:
        """Set the domains there are; in one step, as they are read at any time."""
        text = "".join(f"{domid} {value}\n" for domid, value in flags.items())
        new = self.directory / "domains.new"
        new.write_text(text)
        new.replace(self.directory / "domains")

    def script(self, *steps: str) -> None:
        lines = [step if " " in step else f"{step} 0" for step in steps]
        (self.directory / "script").write_text("".join(f"{line}\n" for line in lines))

    def refuse_logdirty_off(self, errnoval: int) -> None:
        (self.directory / "refused").write_text(f"{errnoval}\n")

    def calls(self) -> list[str]:
        path = self.directory / "calls"
        return path.read_text().splitlines() if path.exists() else []

    @property
    def arguments(self) -> list[str]:
        backend = ["--backend", "simxen", "--host", str(self.directory)]
        return [*backend, "--library", str(self.library)]

    def helper(self, pass_fds: Iterable[int] = ()) -> Parent:
        return Parent(self.arguments, pass_fds)


def is_blocked(parent: Parent) -> Callable[[Message], bool]:
    """Tell a heartbeat that was sent while the writer is stuck in the kernel."""

    def check(message: Message) -> bool:
        wchan = Path(f"/proc/{parent.process.pid}/wchan").read_text()
        return isinstance(message, Stat) and "pipe" in wchan

    return check
