"""A disk that does not answer is not waited for without an end."""

import asyncio
import errno
import os
import stat
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from libxlpy.save_file import SaveFile, SaveFileError, beside
from libxlpy.save_file.beside import opened

PATH = Path("web.save")


class Slow:
    """Opened once the disk answers."""

    def __init__(self, answers: threading.Event, closed: threading.Event) -> None:
        answers.wait()
        self.closed = closed

    def close(self) -> None:
        self.closed.set()


@pytest.fixture
def answers() -> Iterator[threading.Event]:
    event = threading.Event()
    yield event
    event.set()


async def test_an_opening_ends_by_its_deadline(
    answers: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(beside, "ANSWER_WITHIN", 0.05)
    with pytest.raises(SaveFileError, match=r"did not answer in 0\.05 s") as caught:
        await opened(PATH, lambda: Slow(answers, threading.Event()))
    assert caught.value.errno == errno.ETIMEDOUT


async def test_what_nobody_wants_any_more_goes_once_it_is_there(
    answers: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(beside, "LEAVE_WITHIN", 0.05)
    begun, closed = threading.Event(), threading.Event()

    def opening() -> Slow:
        begun.set()
        return Slow(answers, closed)

    task = asyncio.create_task(opened(PATH, opening))
    await asyncio.to_thread(begun.wait)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not closed.is_set()
    answers.set()
    await asyncio.to_thread(closed.wait)


@pytest.mark.parametrize("folder", [False, True])
async def test_a_commit_ends_by_its_deadline(
    tmp_path: Path,
    answers: threading.Event,
    monkeypatch: pytest.MonkeyPatch,
    folder: bool,
) -> None:
    """A later answer replaces no old file; what was replaced before is told."""
    reached, real = threading.Event(), os.fsync
    tasks = []

    def fsync(fd: int) -> None:
        if stat.S_ISDIR(os.fstat(fd).st_mode) is folder:
            reached.set()
            answers.wait()
        real(fd)

    async def aside(work: Callable[[], None], _seconds: float) -> None:
        tasks.append(asyncio.create_task(asyncio.to_thread(work)))
        await asyncio.to_thread(reached.wait)
        raise TimeoutError

    target = tmp_path / "image"
    target.write_bytes(b"old")
    async with await SaveFile.when_free(target, b"new") as save:
        try:
            with monkeypatch.context() as patch:
                patch.setattr(os, "fsync", fsync)
                patch.setattr(beside, "aside", aside)
                with pytest.raises(SaveFileError, match="did not answer") as caught:
                    await save.put_in_place()
            assert caught.value.in_place is folder
            assert ("is whole" in str(caught.value)) is folder
        finally:
            answers.set()
        await tasks[0]
    assert target.read_bytes() == (b"new" if folder else b"old")
    assert [path.name for path in tmp_path.iterdir()] == ["image"]
