"""A disk that does not answer is not waited for without an end."""

import asyncio
import errno
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from libxlpy.save_file import SaveFile, SaveFileError, beside, file
from libxlpy.save_file.beside import opened

PATH = Path("web.save")


class Slow:
    """Opened once the disk answers."""

    def __init__(self, answers: threading.Event) -> None:
        answers.wait()
        self.closed = threading.Event()

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
        await opened(PATH, lambda: Slow(answers))
    assert caught.value.errno == errno.ETIMEDOUT


async def test_what_nobody_wants_any_more_goes_once_it_is_there(
    answers: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(beside, "LEAVE_WITHIN", 0.05)
    begun, made = threading.Event(), []

    def opening() -> Slow:
        begun.set()
        made.append(Slow(answers))
        return made[0]

    task = asyncio.create_task(opened(PATH, opening))
    await asyncio.to_thread(begun.wait)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not made
    answers.set()
    while not made:
        await asyncio.sleep(0)
    await asyncio.to_thread(made[0].closed.wait)


async def test_a_commit_ends_by_its_deadline(
    tmp_path: Path, answers: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file, "COMMIT_WITHIN", 0.05)
    real = os.fsync

    def fsync(fd: int) -> None:
        answers.wait()
        real(fd)

    target = tmp_path / "image"
    async with await SaveFile.when_free(target, b"head") as save:
        monkeypatch.setattr(os, "fsync", fsync)
        with pytest.raises(SaveFileError, match="may be put in place once it does"):
            await save.put_in_place()
        assert not target.exists()
        answers.set()
    assert target.read_bytes() == b"head"
