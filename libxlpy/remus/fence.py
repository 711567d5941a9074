"""What proves that a primary is gone, before its copy runs.

A connection that is lost proves nothing: the primary may go on, with its guest. Who can
tell is a fence: it looks by another way, or switches the primary's host off.
"""

import enum
from collections.abc import Awaitable, Callable
from pathlib import Path

from libxlpy.deadlines import DEFAULT_DEADLINES, Deadlines
from libxlpy.errors import BackendError, HookFailed
from libxlpy.migration.executable import check_executable, run_executable
from libxlpy_protocol.value import Value

#: Its argument.
WHEN = "fence"


class Primary(enum.Enum):
    """What is known of the primary's guest."""

    #: It does not run, and will not: its host is off, or was fenced.
    GONE = "gone"
    #: It runs.
    ALIVE = "alive"
    #: Nobody can tell.
    UNKNOWN = "unknown"


class Lost(Value):
    """A guest whose primary is not heard any more."""

    name: str
    #: "" if its configuration has none.
    uuid: str
    #: The last epoch that is held here.
    epoch: int
    #: What was seen of the primary.
    why: str


#: Asked once the primary is not heard any more, within the deadline ``fence``; a
#: ``LibxlpyError`` means that nobody can tell, and why.
Fence = Callable[[Lost], Awaitable[Primary]]

#: Exit status of an executable -> what it says; any other: nobody can tell.
SAID = {0: Primary.GONE, 3: Primary.ALIVE}


class FenceExecutable:
    """A fence that is an executable: see ``migration.executable`` for how it is run.

    It is told ``name``, ``uuid``, ``epoch``, ``why`` and ``peer``. Its exit status is 0
    if the guest does not run where it ran, and will not; 3 if it does.
    """

    def __init__(
        self, path: Path, peer: str = "", deadlines: Deadlines = DEFAULT_DEADLINES
    ) -> None:
        """Run nothing yet.

        Args:
            path: Of the executable.
            peer: The primary's host, as it is told of it.
            deadlines: Have ``fence``.
        """
        self._path = path.absolute()  # it runs in the root folder
        self._peer = peer
        self._deadlines = deadlines

    async def check(self) -> None:
        """See that it may be run.

        Raises:
            HookFailed: It may not; says what to do.
        """
        try:
            await check_executable(self._path)
        except BackendError as exc:
            raise self._failed(str(exc)) from exc

    async def __call__(self, lost: Lost) -> Primary:
        """Run it.

        Raises:
            HookFailed: It does not say; why, as far as it can be seen.
        """
        await self.check()
        facts = {**vars(lost), "peer": self._peer}
        seconds = self._deadlines.fence
        try:
            ran = await run_executable(
                self._path, WHEN, facts, self._deadlines, seconds
            )
        except BackendError as exc:
            raise self._failed(str(exc)) from exc
        if ran.exit is None:
            raise self._failed(f"deadline fence of {seconds:g} s passed", ran.said)
        if ran.exit.status not in SAID:
            raise self._failed(str(ran.exit), ran.said)
        return SAID[ran.exit.status]

    def _failed(self, why: str, said: str = "") -> HookFailed:
        return HookFailed(str(self._path), WHEN, why, said)


class NoFence:
    """Has a copy run whatever its primary does: unsafe, the guest may run twice."""

    async def __call__(self, lost: Lost) -> Primary:
        """Say that it is gone, which nobody has proved."""
        del lost
        return Primary.GONE
