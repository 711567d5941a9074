"""What of a protected guest the world sees, held back until its epoch is acknowledged.

The steps are those of libxl's device kinds. Each has its bound. What fails ends the
protection, and is not hidden by what fails after it.

Xen: tools/libs/light/libxl_checkpoint_device.c.
"""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Iterable

from libxlpy.domain.repair import failed
from libxlpy.errors import JobError
from libxlpy_protocol.errors import LibxlpyError

#: Seconds to set a device up, or to take it down; libxl's for its scripts.
SETUP_SECONDS = 40.0
#: Seconds for a step of an epoch; the guest is suspended in two of them.
STEP_SECONDS = 10.0


class Device(ABC):
    """An interface or a disk; what it raises is a ``LibxlpyError``."""

    #: As messages call it.
    name: str

    @abstractmethod
    async def setup(self) -> None:
        """Get ready; what the guest does passes until the first epoch is closed."""

    @abstractmethod
    async def postsuspend(self, epoch: int) -> None:
        """Close an epoch: the guest is suspended at its end."""

    @abstractmethod
    async def preresume(self, epoch: int) -> None:
        """Prepare for the next one: the guest is about to run."""

    @abstractmethod
    async def commit(self, epoch: int) -> None:
        """Let the world see what was done in an epoch, which the backup holds."""

    @abstractmethod
    async def teardown(self) -> None:
        """Let all that is held back go, in order, and hold back nothing any more."""


class Devices:
    """Those of one guest."""

    def __init__(self, devices: Iterable[Device]) -> None:
        """Take them; nothing is done yet."""
        self._devices = list(devices)
        #: To be taken down.
        self._set_up: list[Device] = []

    def add(self, devices: Iterable[Device]) -> None:
        """Take some more, before they are set up."""
        self._devices += devices

    async def setup(self) -> None:
        """Set all up, in order.

        Raises:
            JobError: One can't be; those before it are set up still.
        """
        for device in self._devices:
            self._set_up.append(device)
            await _step(device, device.setup(), "set up", SETUP_SECONDS)

    async def postsuspend(self, epoch: int) -> None:
        """Close an epoch; errors as of :meth:`setup`."""
        await self._each(lambda device: device.postsuspend(epoch), "close an epoch")

    async def preresume(self, epoch: int) -> None:
        """Prepare for the next one; errors as above."""
        await self._each(lambda device: device.preresume(epoch), "begin an epoch")

    async def commit(self, epoch: int) -> None:
        """Let an epoch be seen; errors as above."""
        await self._each(lambda device: device.commit(epoch), "commit an epoch")

    async def teardown(self) -> list[str]:
        """Take down what was set up, the last one first; give what can't be."""
        told: list[str] = []
        while self._set_up:
            device = self._set_up.pop()
            try:
                await _step(device, device.teardown(), "let go", SETUP_SECONDS)
            except JobError as exc:
                told.append(failed(f"{device.name} let go", exc))
        return told

    async def _each(self, step: Callable[[Device], Awaitable[None]], what: str) -> None:
        for device in self._devices:
            await _step(device, step(device), what, STEP_SECONDS)


async def _step(
    device: Device, work: Awaitable[None], what: str, seconds: float
) -> None:
    try:
        async with asyncio.timeout(seconds):
            await work
    except TimeoutError as exc:
        text = f"{device.name} did not {what} in {seconds:g} s"
        raise JobError(text) from exc
    except LibxlpyError as exc:
        raise JobError(f"{device.name} could not {what}: {exc}") from exc
