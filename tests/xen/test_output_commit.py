"""A guest, its backup, and the world, which sees nothing that is taken back later.

Frames of the guest are numbered, by a counter in its memory. Its primary dies, and it
goes on from the last epoch that its backup has: should the world have seen more than
was acknowledged, it would see numbers again.
"""

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any

import psutil
import pytest

from libxlpy import Context, Job
from libxlpy.remus.fence import Lost, Primary

from .conftest import MakeGuest
from .migrating import INCOMING
from .protecting import SLOW, Pair
from .ramdisk import extended
from .support import CONSOLES, PATIENCE, Guest, assert_went_on, ok, wait_for
from .world import SCRIPT, Log, world

pytestmark = pytest.mark.xen

HERE = Path(__file__).parent
PROGRAM, INIT = "send_numbered", "with_sender"
EPOCHS, FRAMES = 4, 30


@pytest.fixture
def ramdisk(tmp_path: Path) -> Path:
    """The rig's initramfs with the program."""
    names = (PROGRAM, INIT)
    return extended(tmp_path, {n: ((HERE / n).read_bytes(), 0o755) for n in names})


@pytest.fixture
def script(tmp_path: Path) -> Path:
    """What connects its interface."""
    path = tmp_path / "connect"
    path.write_text(SCRIPT)
    path.chmod(0o755)
    return path


@pytest.fixture
def log() -> Iterator[Log]:
    with world() as seen, Log(seen) as log:
        yield log


class PairOfTwo(Pair):
    """The primary is a process of its own, which is killed."""

    def __init__(self, ctx: Context, guest: Guest, said: IO[bytes]) -> None:
        super().__init__(ctx, guest)
        self.said = said
        self.process: subprocess.Popen[bytes]

    def __enter__(self) -> "PairOfTwo":
        return self

    def __exit__(self, *_: object) -> None:
        """Show what the primary has said, should it have failed."""
        self.close()
        self.process.wait(PATIENCE)
        self.said.seek(0)
        print(self.said.read().decode())

    async def _begin_primary(self) -> None:
        ends = [self.control.fileno(), self.sends.fileno()]
        words = [sys.executable, HERE / "primary.py", self.domid, *ends]
        self.process = await asyncio.to_thread(
            subprocess.Popen,
            [str(word) for word in words],
            pass_fds=ends,
            stdout=self.said,
            stderr=self.said,
        )
        self.control.close()
        self.sends.close()

    def jobs(self) -> tuple[Job[Any], ...]:
        return (self.copy,)

    async def protected(self, epochs: int) -> None:
        """Wait until so many more are held."""
        wanted = self.backup.held + epochs
        await self.seen(lambda: self.backup.held >= wanted)

    async def fence(self, lost: Lost) -> Primary:
        """Have all be gone that was on the primary's host: what it held back, too."""
        await asyncio.to_thread(ok, "ip", "link", "delete", f"xlpy-{self.domid}")
        return await super().fence(lost)

    def kill(self) -> None:
        """Have all of it end at once, as if its host had: nobody is left to let go."""
        primary = psutil.Process(self.process.pid)
        all_of_it = [primary, *primary.children(recursive=True)]
        for send in (psutil.Process.suspend, psutil.Process.kill):
            for process in all_of_it:
                with suppress(psutil.NoSuchProcess):
                    send(process)
        self.process.wait(PATIENCE)


@pytest.mark.parametrize("kind", ["pvh", "hvm"])
def test_world_sees_nothing_that_is_taken_back(
    make_guest: MakeGuest, ramdisk: Path, script: Path, log: Log, kind: str
) -> None:
    extra = f'extra="console=hvc0 quiet rdinit=/{INIT}"'
    vif = f'vif=["mac=00:16:3e:01:02:04,script={script}"]'
    guest = make_guest(kind, f'ramdisk="{ramdisk}"', extra, vif)
    log.wait(FRAMES)
    before, seen, domid = asyncio.run(killed(guest, log))
    guest.console = CONSOLES / f"guest-{guest.name}{INCOMING}.log"
    assert_went_on(before, guest.next_ticks(2))
    wait_for("frames of the copy", lambda: len(log.numbers) > seen + FRAMES or None)
    by_then, later = log.numbers[:seen], log.numbers[seen:]
    print(domid, by_then[-3:], later)
    assert by_then == list(range(seen))
    assert min(later) >= seen
    # In the guest, what waits for the new interface is queued by protocol.
    assert len(set(later)) == len(later)
    ok("xlpy", "recover")


async def killed(guest: Guest, log: Log) -> tuple[list, int, int]:
    """Have the primary killed in the midst of an epoch; give what was seen before."""
    async with Context("xen", deadlines=SLOW) as ctx:
        with TemporaryFile() as said, PairOfTwo(ctx, guest, said) as pair:
            await pair.begin()
            await pair.protected(EPOCHS)
            before = await asyncio.to_thread(guest.next_ticks, 2)
            await asyncio.to_thread(log.wait, FRAMES)
            await pair.protected(EPOCHS)
            pair.kill()
            seen = len(log.numbers)
            await pair.copy
            return before, seen, pair.domid
