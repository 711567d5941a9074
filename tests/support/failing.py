"""Have a job fail at one message, and take what it says of that."""

import asyncio
import select
from collections.abc import Callable
from typing import Any

import pytest

from libxlpy import JobError
from libxlpy.jobs.job import Job
from libxlpy_protocol.messages import Message


async def outcome(job: Job[Any]) -> JobError:
    with pytest.raises(JobError) as caught:
        await job
    error = caught.value
    assert "\n" not in str(error)
    assert str(error) in error.report()
    return error


class At:
    """Acts when the n-th message of a kind passes."""

    def __init__(self, kind: str, act: Callable[[], None]) -> None:
        self.kind = kind
        self.act = act
        self.seen = asyncio.Event()

    def __call__(self, direction: str, message: Message) -> None:
        name = f"{direction}{type(message).__name__}"
        if name.endswith(self.kind) and not self.seen.is_set():
            self.seen.set()
            self.act()


def until_full(fd: int) -> None:
    """Wait until a pipe takes no more."""
    poll = select.poll()
    poll.register(fd, select.POLLOUT)
    while poll.poll(0):
        pass
