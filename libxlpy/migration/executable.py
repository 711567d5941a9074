"""An administrator's executable, run once, bounded: a hook, or a fence.

It does what we may do, so only we, or root, may be able to write it, and the folders on
the way to it. There is no shell, and nothing of our environment. It has one argument,
which says when, and facts as a JSON object on stdin.
"""

import asyncio
import json
import os
import signal
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from libxlpy.aio import finish
from libxlpy.deadlines import Deadlines
from libxlpy.errors import BackendError, reason_of
from libxlpy.folders import NotOursAlone, check_alone
from libxlpy.process.environment import found
from libxlpy.process.helper import ExitStatus, HelperProcess, start_process
from libxlpy_protocol.value import Value

Fact = str | int | None
#: Characters of a fact that are told.
FACT_MAX = 1000
#: Bytes taken of stdout per wake-up.
TAKEN = 4096


class Ran(Value):
    """What became of one."""

    #: None: it did not end in time, and was ended with its group.
    exit: ExitStatus | None
    #: The last that it has said on stderr.
    said: str

    @property
    def is_good(self) -> bool:
        """It says that all is well."""
        return self.exit is not None and self.exit.status == 0


async def check_executable(path: Path) -> None:
    """See that one may be run.

    Raises:
        BackendError: It may not; says what to do.
    """

    def look() -> None:
        check_alone(path)
        if not path.stat().st_mode & 0o111:
            raise BackendError(f"it is not executable: chmod +x {path}")

    try:
        await found(look)
    except NotOursAlone as exc:
        raise BackendError(str(exc)) from exc
    except OSError as exc:
        raise BackendError(reason_of(exc)) from exc


async def run_executable(
    path: Path, when: str, facts: Mapping[str, Fact], deadlines: Deadlines, left: float
) -> Ran:
    """Run one to its end.

    Args:
        path: Absolute: it runs in the root folder.
        when: Its argument.
        facts: Of the job; long ones are cut.
        deadlines: Have ``spawn`` and ``kill_grace``.
        left: Seconds that it has.

    Raises:
        BackendError: It can't be started; says why.
    """
    loop = asyncio.get_running_loop()
    ends_at = loop.time() + left
    process = await _started([str(path), when], deadlines)
    loop.add_reader(process.read_fd, _ignore, process.read_fd)
    try:
        with suppress(OSError):  # it may not want to know
            os.write(process.write_fd, _told({"when": when, **facts}))
        process.hang_up()
        await process.wait_within(ends_at - loop.time())
        return Ran(process.exit, process.stderr.text())
    finally:
        await finish(asyncio.create_task(_end(process, deadlines)))


def _told(facts: Mapping[str, Fact]) -> bytes:
    short = {
        key: value[:FACT_MAX] if isinstance(value, str) else value
        for key, value in facts.items()
    }
    return json.dumps(short).encode() + b"\n"


async def _started(words: list[str], deadlines: Deadlines) -> HelperProcess:
    """Start one; should we be cancelled meanwhile, it is ended with its group."""
    starting = asyncio.create_task(start_process(words, (), deadlines.spawn))
    try:
        return await asyncio.shield(starting)
    except asyncio.CancelledError:
        await finish(asyncio.create_task(_undo(starting, deadlines)))
        raise
    except TimeoutError as exc:
        text = f"deadline spawn of {deadlines.spawn:g} s passed"
        raise BackendError(text) from exc
    except BackendError as exc:
        cause = exc.__cause__
        why = reason_of(cause) if isinstance(cause, OSError) else str(exc)
        raise BackendError(f"can't be started: {why}") from exc


async def _undo(starting: asyncio.Task[HelperProcess], deadlines: Deadlines) -> None:
    with suppress(BackendError, TimeoutError):
        await _end(await starting, deadlines)


async def _end(process: HelperProcess, deadlines: Deadlines) -> None:
    """Have it gone, with all of its group, if it has not ended."""
    process.signal(signal.SIGSTOP)
    if process.alive:  # and stays so: the number is its group's
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait_within(deadlines.kill_grace)
    asyncio.get_running_loop().remove_reader(process.read_fd)
    process.close()


def _ignore(fd: int) -> None:
    """Take what it says on stdout, which is for nobody; it is not kept waiting."""
    with suppress(OSError):
        if not os.read(fd, TAKEN):
            asyncio.get_running_loop().remove_reader(fd)
