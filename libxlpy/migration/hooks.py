"""Executables that are run before and after a migration, at either end.

They are in one folder, and run in the order of their names, each with an argument that
says when, and the facts of the job as a JSON object on stdin. One that fails before the
migration refuses it; one that fails after it is told. All run that are there after the
migration if any has run before it: what was prepared can be undone.

How one is run, and who may be able to write it, see ``executable``.
"""

import asyncio
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, Self

from libxlpy.errors import BackendError, HookFailed, reason_of
from libxlpy.folders import NotOursAlone, check_alone
from libxlpy.migration.executable import Fact, run_executable
from libxlpy.process.environment import Environment, found
from libxlpy_protocol.value import Value

Side = Literal["send", "receive"]
#: Where administrators put theirs, for `xlpy`.
FOLDER = Path("/etc/libxlpy/migrate.d")
#: What editors and package managers leave beside a file.
LEFT_BESIDE = (
    "~",
    *(".bak", ".orig", ".swp", ".rpmnew", ".rpmsave"),
    *(".dpkg-old", ".dpkg-new", ".dpkg-dist", ".dpkg-tmp"),
)


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
            await self._run(path, when, facts, ends_at)

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
                    await self._run(path, when, facts, ends_at)
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

    # ----- one --------------------------------------------------------------------

    async def _run(
        self, path: Path, when: str, facts: Mapping[str, Fact], ends_at: float
    ) -> None:
        assert self._wanted is not None
        deadlines = self._env.deadlines
        late = f"deadline hooks of {deadlines.hooks:g} s passed"
        left = ends_at - asyncio.get_running_loop().time()
        if left <= 0:
            raise HookFailed(str(path), when, late)
        told = {"peer": self._wanted.peer, **facts}
        try:
            ran = await run_executable(path, when, told, deadlines, left)
        except BackendError as exc:
            raise HookFailed(str(path), when, str(exc)) from exc
        if not ran.is_good:
            why = late if ran.exit is None else str(ran.exit)
            raise HookFailed(str(path), when, why, ran.said)


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
