"""A living toolstack's guest is its own; a dead one's is looked after, wherever."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest

from libxlpy import Context, DomainBusy, GuestState, Outcome
from libxlpy.journal import Lock
from libxlpy.recovery.recovery import Recovery
from libxlpy.save_file import SaveFile
from tests.fault.deaths import left, recover
from tests.fault.sweep import DEADLINES
from tests.support.guest import aside
from tests.support.victim import Victim

TOOLSTACK = """
import asyncio, sys
from libxlpy import Context
from libxlpy.save_file import SaveFile

async def main(host, domid, path):
    async with Context("simxen", host) as ctx:
        with SaveFile(path, b"") as file:
            await (await ctx.domain_suspend(int(domid), file.fd))
            print(flush=True)
            await asyncio.to_thread(input)
        await ctx.domain_resume(int(domid))

asyncio.run(main(*sys.argv[1:]))
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "image"


def in_a_namespace(victim: Victim, path: Path) -> subprocess.Popen[bytes]:
    """Start a toolstack that has saved and waits, where its pid is 1 or 2."""
    user = [] if os.geteuid() == 0 else ["--user", "--map-current-user"]
    process = subprocess.Popen(
        [
            *("unshare", *user, "--pid", "--fork", "--kill-child"),
            *(sys.executable, "-c", TOOLSTACK),
            *(str(victim.directory), str(victim.domid), str(path)),
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"\n"
    return process


def test_living_one_of_another_namespace_is_left_alone(pv_victim, path):
    with in_a_namespace(pv_victim, path) as toolstack:
        assert states(pv_victim) == ["ended"]
        assert recover(pv_victim) == []
        assert pv_victim.info()["shutdown"]
        toolstack.communicate(b"\n")
        assert toolstack.returncode == 0
    pv_victim.assert_unharmed("resumed by its toolstack")
    assert left(pv_victim, path.parent) == []


def test_guest_of_a_living_one_is_for_nobody_else(pv_victim, path):
    async def work() -> None:
        async with Context("simxen", pv_victim.directory, DEADLINES) as ctx:
            for act in (ctx.domain_resume, ctx.domain_destroy):
                with pytest.raises(DomainBusy, match="has yet to go on"):
                    await act(pv_victim.domid)
            with pytest.raises(DomainBusy), Path(os.devnull).open("wb") as null:
                await ctx.domain_suspend(pv_victim.domid, null.fileno())

    with in_a_namespace(pv_victim, path) as toolstack:
        asyncio.run(work())
        assert pv_victim.info()["shutdown"]
        toolstack.communicate(b"\n")
        assert toolstack.returncode == 0
    pv_victim.assert_unharmed("resumed by its toolstack")


def test_dead_one_of_another_namespace_is_recovered(pv_victim, path):
    with in_a_namespace(pv_victim, path) as toolstack:
        toolstack.kill()
        assert toolstack.stdout is not None
        assert toolstack.stdout.read() == b""  # all of the namespace is dead
    assert states(pv_victim) == ["lost"]
    (found,) = recover(pv_victim)
    assert (found.outcome, found.guest) == (Outcome.ROLLED_BACK, GuestState.RUNNING)
    pv_victim.assert_unharmed(str(found))
    assert left(pv_victim, path.parent) == []


def states(victim: Victim) -> list[str]:
    async def work() -> list[str]:
        async with Context("simxen", victim.directory, DEADLINES) as ctx:
            return [job.state for job in await ctx.list_jobs()]

    return asyncio.run(work())


# ----- a journal that can't be written ------------------------------------------------


@pytest.fixture
def full_disk(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Have no note taken once the list is not empty."""
    full: list[str] = []

    def refused(lock: Lock, *_: object) -> None:
        raise OSError(28, "No space left on device")

    def rewrite(lock: Lock, entry: object) -> None:
        if full:
            refused(lock)
        Lock.write(lock, entry)  # type: ignore[arg-type]

    monkeypatch.setattr(Lock, "rewrite", rewrite)
    return full


async def test_own_guest_is_not_resumed_before_it_is_destroyed(
    host: Path, path: Path, full_disk: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.support.guest import Guest

    guest = await aside(lambda: Guest(host, "pv"))

    async def never(recovery: Recovery) -> None:
        raise AssertionError(f"{recovery} of a living process")

    monkeypatch.setattr(Recovery, "run", never)
    async with Context("simxen", host, DEADLINES) as ctx:
        async with await SaveFile.when_free(path, b"") as file:
            job = await ctx.domain_suspend(guest.domid, file.fd)
            async for event in job.events():
                if getattr(event, "name", "") == "suspended":
                    full_disk.append("now")
            await job
            await file.put_in_place()
        assert await ctx.recover() == []
        assert (await aside(guest.facts))["shutdown"]
        await ctx.domain_destroy(guest.domid)
    assert await aside(lambda: list((host / "jobs").glob(f"{guest.domid}.*"))) == []
