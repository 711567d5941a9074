"""Executables that are run before and after a migration, at either end.

They are in one folder, and run in the order of their names, each with an argument that
says when, and the facts of the job as a JSON object on stdin. One that fails before the
migration refuses it; one that fails after it is told. All run that are there after the
migration if any has run before it: what was prepared can be undone.

They do what we may do, so only we, or root, may be able to write them, and the folders
on the way to them. There is no shell, and nothing of our environment.
"""

import asyncio
import json
import os
import signal
import stat
from contextlib import suppress
from pathlib import Path
from typing import Literal, Self

from libxlpy.aio import finish
from libxlpy.errors import BackendError, HookFailed, reason_of
from libxlpy.folders import NotOursAlone, check_alone
from libxlpy.process.environment import Environment, found
from libxlpy.process.helper import HelperProcess, start_process
from libxlpy_protocol.value import Value

Side = Literal["send", "receive"]
Fact = str | int | None
#: Where administrators put theirs, for `xlpy`.
FOLDER = Path("/etc/libxlpy/migrate.d")
#: What editors and package managers leave beside a file.
LEFT_BESIDE = (
    "~",
    *(".bak", ".orig", ".swp", ".rpmnew", ".rpmsave"),
    *(".dpkg-old", ".dpkg-new", ".dpkg-dist", ".dpkg-tmp"),
)
#: Characters of a fact that are told.
FACT_MAX = 1000
#: Bytes taken of stdout per wake-up.
TAKEN = 4096


class MigrationHooks(Value):
    """Hooks to be run."""

    #: Holds them; read each time.
    folder: Path
    #: The other host, as they are told of it.
    peer: str = ""

    @classmethod
    def default(cls, peer: str = "") -> Self | None:
        """Give those in the folder that `xlpy` uses; None if it is not there."""
        return cls(FOLDER, peer) if FOLDER.exists() else None


class Hooks:
    """The hooks of one migration at one end."""

    def __init__(
        self, env: Environment, wanted: MigrationHooks | None, side: Side
    ) -> None:
        """Run nothing yet.

        Args:
            env: Has the deadlines.
            wanted: None if there are none.
            side: The end that we are.
        """
        self._env = env
        self._wanted = wanted
        self._side = side
        self._due = False

    async def before(self, **facts: Fact) -> None:
        """Run them before the migration.

        Raises:
            HookFailed: One has failed, those behind it were not run; or they may not
                be run.
        """
        if self._wanted is None:
            return
        when = f"before-{self._side}"
        paths = await self._found(self._wanted, when)
        ends_at = asyncio.get_running_loop().time() + self._env.deadlines.hooks
        for path in paths:
            self._due = True
            await self._run(path, when, self._told(when, facts), ends_at)

    async def after(self, **facts: Fact) -> list[str]:
        """Run them after it, all of them, once, if any was run before it.

        Returns:
            What has failed.
        """
        if self._wanted is None or not self._due:
            return []
        self._due = False
        when, failures = f"after-{self._side}", []
        ends_at = asyncio.get_running_loop().time() + self._env.deadlines.hooks
        try:
            for path in await self._found(self._wanted, when):
                try:
                    await self._run(path, when, self._told(when, facts), ends_at)
                except HookFailed as exc:
                    failures.append(str(exc))
        except HookFailed as exc:
            failures.append(str(exc))
        return failures

    # ----- which ------------------------------------------------------------------

    async def _found(self, wanted: MigrationHooks, when: str) -> list[Path]:
        """Give them in order.

        Raises:
            HookFailed: Somebody else could write one, or they can't be looked at.
        """
        folder = wanted.folder.absolute()  # they run in the root folder
        try:
            return await found(lambda: executables(folder))
        except NotOursAlone as exc:
            raise HookFailed(str(folder), when, str(exc)) from exc
        except OSError as exc:
            raise HookFailed(exc.filename or str(folder), when, reason_of(exc)) from exc
        except BackendError as exc:
            raise HookFailed(str(folder), when, str(exc)) from exc

    def _told(self, when: str, facts: dict[str, Fact]) -> bytes:
        assert self._wanted is not None
        told = {"when": when, "peer": self._wanted.peer, **facts}
        short = {
            key: value[:FACT_MAX] if isinstance(value, str) else value
            for key, value in told.items()
        }
        return json.dumps(short).encode() + b"\n"

    # ----- one --------------------------------------------------------------------

    async def _run(self, path: Path, when: str, told: bytes, ends_at: float) -> None:
        loop, seconds = asyncio.get_running_loop(), self._env.deadlines.hooks
        late = f"deadline hooks of {seconds:g} s passed"
        if loop.time() >= ends_at:
            raise HookFailed(str(path), when, late)
        process = await self._started(path, when)
        loop.add_reader(process.read_fd, _ignore, process.read_fd)
        try:
            with suppress(OSError):  # it may not want to know
                os.write(process.write_fd, told)
            process.hang_up()
            await process.wait_within(ends_at - loop.time())
            end = process.exit
            if end is None or end.status != 0:
                why, said = late if end is None else str(end), process.stderr.text()
                raise HookFailed(str(path), when, why, said)
        finally:
            await finish(asyncio.create_task(self._end(process)))

    async def _started(self, path: Path, when: str) -> HelperProcess:
        """Start one; should we be cancelled meanwhile, it is ended with its group."""
        seconds = self._env.deadlines.spawn
        starting = asyncio.create_task(start_process([str(path), when], (), seconds))
        try:
            return await asyncio.shield(starting)
        except asyncio.CancelledError:
            await finish(asyncio.create_task(self._undo(starting)))
            raise
        except TimeoutError as exc:
            why = f"deadline spawn of {seconds:g} s passed"
            raise HookFailed(str(path), when, why) from exc
        except BackendError as exc:
            cause = exc.__cause__
            why = reason_of(cause) if isinstance(cause, OSError) else str(exc)
            raise HookFailed(str(path), when, f"can't be started: {why}") from exc

    async def _undo(self, starting: asyncio.Task[HelperProcess]) -> None:
        with suppress(BackendError, TimeoutError):
            await self._end(await starting)

    async def _end(self, process: HelperProcess) -> None:
        """Have it gone, with all of its group, if it has not ended."""
        process.signal(signal.SIGSTOP)
        if process.alive:  # and stays so: the number is its group's
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait_within(self._env.deadlines.kill_grace)
        asyncio.get_running_loop().remove_reader(process.read_fd)
        process.close()


def executables(folder: Path) -> list[Path]:
    """Give the executables of a folder, in order.

    Raises:
        NotOursAlone: Another user could write one; says what to do.
        OSError: It can't be read.
        BackendError: Whose it is nobody can tell.
    """
    check_alone(folder)
    named = sorted(each for each in folder.iterdir() if _is_meant(each))
    for path in named:
        check_alone(path)
    return named


def _is_meant(path: Path) -> bool:
    if path.name.startswith(".") or path.name.endswith(LEFT_BESIDE):
        return False
    mode = path.stat().st_mode
    return stat.S_ISREG(mode) and bool(mode & 0o111)


def _ignore(fd: int) -> None:
    """Take what a hook says on stdout, which is for nobody; none is kept waiting."""
    with suppress(OSError):
        if not os.read(fd, TAKEN):
            asyncio.get_running_loop().remove_reader(fd)
