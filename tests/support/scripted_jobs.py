"""Jobs with a scripted helper in place of the real one, in loops not to be blocked."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import pytest

from libxlpy.backend import Backend
from libxlpy.callbacks import AnswerTo
from libxlpy.deadlines import Deadlines
from libxlpy.jobs.job import Job
from libxlpy.jobs.operation import Operation, Run
from libxlpy.jobs.stall import NO_STALL_POLICY, StallPolicy
from libxlpy.jobs.stream_fd import StreamFd
from libxlpy.process.environment import Environment, HypercallHelpers
from libxlpy.process.pump import Observer
from libxlpy.results.report import GuestFacts, GuestState, JobReport, Settled
from libxlpy_protocol.enums import Image, Mode
from libxlpy_protocol.messages import CallMessage, Start, Suspend
from libxlpy_protocol.table import callback_mask
from tests.support import scripted
from tests.support.blocking import nothing_may_block


@pytest.fixture
def nothing_blocks(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Fail a test whose loop is blocked."""
    with nothing_may_block(monkeypatch):
        yield


class Turns:
    """Counts the turns that the event loop gives to others. A context manager."""

    number = 0

    def __enter__(self) -> Self:
        self._counter = asyncio.create_task(self._count())
        return self

    def __exit__(self, *_: object) -> None:
        self._counter.cancel()

    async def _count(self) -> None:
        while True:
            await asyncio.sleep(0)
            self.number += 1


@pytest.fixture
def backend(tmp_path: Path) -> Backend:
    """A backend whose sockets nobody serves."""
    return Backend("simxen", tmp_path, tmp_path / "xs", tmp_path, tmp_path)


@dataclass
class FakeOperation(Operation[JobReport]):
    """A save of nothing; remembers what it was asked."""

    kind = "save"
    access = "write"
    what: str = "test of domain 7"
    domid: int = 7
    calls: frozenset[type] = frozenset({Suspend})
    seconds: float = 5.0
    on_call: Callable[[CallMessage], Awaitable[Any]] | None = None
    asked: list[CallMessage] = field(default_factory=list)
    settled: list[bool] = field(default_factory=list)
    guest: GuestFacts = field(default_factory=GuestFacts)
    policy = None

    def start(self, stream_fd: int) -> Start:
        return Start(
            Mode.SAVE,
            domid=self.domid,
            callback_mask=callback_mask(self.calls),
            image=Image.LIBXL,
            stream_fd=stream_fd,
        )

    async def answer(self, call: CallMessage, run: Run) -> AnswerTo:
        self.asked.append(call)
        return 1 if self.on_call is None else await self.on_call(call)

    def limit(self, call: CallMessage) -> float:
        return self.seconds

    async def settle(self, run: Run) -> Settled:
        self.settled.append(run.failure is None)
        return Settled(GuestState.RUNNING, ("looked",))

    def result(self, run: Run, report: JobReport) -> JobReport:
        return report


StartJob = Callable[..., Job[JobReport]]


@pytest.fixture
def start_job(backend: Backend, tmp_path: Path) -> Iterator[StartJob]:
    """Give a function that starts a job with a scripted helper."""
    with (tmp_path / "stream").open("wb") as file:

        def start(
            script: str,
            operation: FakeOperation | None = None,
            *,
            observer: Observer | None = None,
            stall: StallPolicy = NO_STALL_POLICY,
            argv: Callable[[Backend], list[str]] | None = None,
            **deadlines: float | None,
        ) -> Job[JobReport]:
            env = Environment(
                backend,
                Deadlines(**{**scripted.QUICK, **deadlines}),
                HypercallHelpers(),
                observer,
                argv or scripted.argv(script),
            )
            operation = operation or FakeOperation()
            operation.env, operation.stall = env, stall
            operation.deadlines = env.deadlines
            stream = StreamFd(file.fileno(), "write")
            return Job(operation, stream, lambda good: None)

        yield start
