"""A real host, and a ctx on it: with a thread of its own, or in a foreign loop."""

import os
import queue
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from libxlpy import Deadlines
from libxlpy.libxl import (
    AsyncopHow,
    LibxlCtx,
    LibxlEvent,
    libxl_ctx_alloc,
    libxl_ctx_free,
    libxl_event_check,
    libxl_event_wait,
    libxl_outcome,
)
from libxlpy.simxen.client import start_host, stop_host
from tests.support.foreign_loop import ForeignLoop
from tests.support.guest import PATIENCE, Guest

#: Short where a test waits for one to pass.
QUICK = Deadlines(suspend_ack=1.5, suspend=1.5, qemu=1.5, abort_grace=3.0)


class Program:
    """A program with a ctx; its ways to wait, whichever loop it has."""

    def __init__(self, host: Path, loop: ForeignLoop | None) -> None:
        self.loop = loop
        hooks = None if loop is None else loop.hooks()
        self.ctx: LibxlCtx = libxl_ctx_alloc("simxen", host, QUICK, hooks=hooks)
        #: (rc, for_callback, outcome, thread) of each callback.
        self.called: queue.SimpleQueue[tuple[int, Any, Any, str]] = queue.SimpleQueue()

    def callback(self, ctx: LibxlCtx, rc: int, for_callback: Any) -> None:
        name = threading.current_thread().name
        self.called.put((rc, for_callback, libxl_outcome(ctx), name))

    def how(self, for_callback: Any = None) -> AsyncopHow:
        return AsyncopHow(self.callback, for_callback)

    def next_call(self) -> tuple[int, Any, Any, str]:
        """Wait for a callback."""
        if self.loop is not None:
            self.loop.run(self.ctx, lambda: not self.called.empty())
        return self.called.get(timeout=PATIENCE)

    def next_event(self) -> LibxlEvent:
        """Wait for an event."""
        if self.loop is None:
            return libxl_event_wait(self.ctx)
        found: list[LibxlEvent] = []

        def looked() -> bool:
            event = libxl_event_check(self.ctx)
            if event is not None:
                found.append(event)
            return event is not None

        self.loop.run(self.ctx, looked)
        return found[0]


@pytest.fixture(scope="session")
def host() -> Iterator[Path]:
    """Run a host; its folder has a short name, as its sockets' paths are limited."""
    directory = Path(tempfile.mkdtemp(prefix="xlpy-l-"))
    start_host(directory)
    yield directory
    stop_host(directory)
    shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture(params=["own thread", "foreign loop"])
def program(host: Path, request: pytest.FixtureRequest) -> Iterator[Program]:
    """Give a program of either kind."""
    loop = ForeignLoop() if request.param == "foreign loop" else None
    made = Program(host, loop)
    yield made
    libxl_ctx_free(made.ctx)


@pytest.fixture
def threaded(host: Path) -> Iterator[Program]:
    """Give a program without a loop."""
    made = Program(host, None)
    yield made
    libxl_ctx_free(made.ctx)


@pytest.fixture
def guest(host: Path) -> Iterator[Guest]:
    """Give a running guest that writes its memory all the time."""
    with Guest(host, "pv") as made:
        yield made


@pytest.fixture
def null() -> Iterator[int]:
    """Give a stream that takes all."""
    fd = os.open("/dev/null", os.O_WRONLY)
    yield fd
    os.close(fd)


class FullPipe:
    """A stream that takes 64 KiB and no more: a save to it ends when it is aborted."""

    def __init__(self) -> None:
        self.reading, self.writing = os.pipe()

    def used(self) -> None:
        """Wait until the save writes."""
        os.read(self.reading, 1)

    def close(self) -> None:
        os.close(self.reading)
        os.close(self.writing)


@pytest.fixture
def pipe() -> Iterator[FullPipe]:
    """Give a stream that nobody reads."""
    made = FullPipe()
    yield made
    made.close()


@pytest.fixture
def in_thread() -> Iterator[Callable[..., threading.Thread]]:
    """Give a function that runs another in a thread, joined at the end."""
    threads: list[threading.Thread] = []

    def start(target: Callable[..., Any], *arguments: Any) -> threading.Thread:
        thread = threading.Thread(target=target, args=arguments, daemon=True)
        thread.start()
        threads.append(thread)
        return thread

    yield start
    for thread in threads:
        thread.join(PATIENCE)
        assert not thread.is_alive()
