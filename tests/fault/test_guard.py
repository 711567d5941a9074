"""Between a save and what comes next, somebody looks after the guest."""

import asyncio
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from libxlpy import BackendError, Context, GuestState, Outcome
from libxlpy.domain import requests
from libxlpy.results.of_jobs import SaveResult
from libxlpy.save_file import SaveFile
from libxlpy_protocol.enums import Op
from tests.fault.deaths import die, helpers_gone, left, recover
from tests.fault.sweep import DEADLINES
from tests.fault.test_recovery import assert_whole
from tests.support.guest import Guest, aside
from tests.support.shell import PATIENCE, ROOT, environment

INTERFERING = Path(__file__).with_name("interfering_xlpy.py")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "image"


@pytest.mark.parametrize("at", ["saved", "committed"])
def test_toolstack_that_dies_leaves_its_guest_running(victim, path, at):
    assert die(victim, path, at, helper=0)
    helpers_gone()
    victim.assert_unharmed("by its guard, before anybody has recovered")
    (found,) = recover(victim)
    assert found.guest is GuestState.RUNNING
    assert (found.outcome is Outcome.FINISHED) is (at == "committed"), str(found)
    if at == "committed":
        assert_whole(path)
    assert left(victim, path.parent) == []


def test_finish_keeps_the_guest_suspended(pv_victim, path):
    assert die(pv_victim, path, "committed", helper=0, policy="FINISH")
    helpers_gone()
    assert pv_victim.info()["shutdown"]
    (found,) = recover(pv_victim)
    assert found.guest is GuestState.SUSPENDED


async def save(ctx: Context, guest: Guest, path: Path) -> tuple[SaveResult, int]:
    """Save; give the result and the helper's pid."""
    async with await SaveFile.when_free(path, b"") as file:
        job = await ctx.domain_suspend(guest.domid, file.fd)
        result = await job
        await file.put_in_place()
    assert job.helper_pid is not None
    return result, job.helper_pid


def files(pid: int) -> set[str]:
    folder = Path(f"/proc/{pid}/fd")
    return {str(link.readlink()) for link in folder.iterdir()}


async def suspended(guest: Guest) -> bool:
    return bool((await aside(guest.facts))["shutdown"])


async def test_guard_holds_no_file_and_leaves_with_the_resume(
    ctx: Context, hvm: Guest, path: Path
):
    result, pid = await save(ctx, hvm, path)
    assert "stays" in result.report.exit_status
    assert str(path) not in await aside(lambda: files(pid))
    await ctx.domain_resume(hvm.domid)
    assert not await aside(lambda: psutil.pid_exists(pid))
    await aside(hvm.assert_untouched)


async def test_context_that_is_left_on_purpose_leaves_the_guest_suspended(
    host: Path, pv: Guest, path: Path
):
    async with Context("simxen", host, DEADLINES) as ctx:
        _, pid = await save(ctx, pv, path)
    assert await suspended(pv)
    assert not await aside(lambda: psutil.pid_exists(pid))
    async with Context("simxen", host, DEADLINES) as ctx:
        assert await ctx.recover() == []
        await ctx.domain_resume(pv.domid)


async def test_context_that_is_left_by_an_error_lets_the_guest_run(
    host: Path, hvm: Guest, path: Path, caplog: pytest.LogCaptureFixture
):
    async def work() -> None:
        async with Context("simxen", host, DEADLINES) as ctx:
            await save(ctx, hvm, path)
            raise OSError("of the toolstack")

    with pytest.raises(OSError, match="of the toolstack"):
        await work()
    await aside(hvm.assert_untouched)
    assert f"domain {hvm.domid}, which was saved, runs again" in caplog.text
    async with Context("simxen", host, DEADLINES) as ctx:
        assert await ctx.recover() == []


async def test_guest_that_we_can_t_resume_is_for_its_guard(
    ctx: Context,
    pv: Guest,
    path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
):
    async def refused(*_: object, **options: object) -> str:
        raise BackendError("no descriptor left")

    await save(ctx, pv, path)
    monkeypatch.setattr("libxlpy.jobs.handed_over.domain_resume", refused)
    with pytest.raises(BackendError):  # only a helper's way to resume it is known
        await ctx.domain_resume(pv.domid, suspend_cancel=False)
    assert await suspended(pv)
    assert await ctx.domain_resume(pv.domid) is not None
    assert "was resumed by the helper that had saved it, as no desc" in caplog.text
    await aside(pv.assert_untouched)
    assert await ctx.list_jobs() == []


async def test_second_save_relieves_the_first_one_s_guard(
    ctx: Context, pv: Guest, path: Path
):
    _, first = await save(ctx, pv, path)
    _, second = await save(ctx, pv, path)
    assert first != second
    while await aside(lambda: psutil.pid_exists(first)):
        await asyncio.sleep(0.01)
    assert await aside(lambda: psutil.pid_exists(second))
    await ctx.domain_resume(pv.domid)


def test_guest_that_somebody_has_resumed_is_not_destroyed(
    host: Path, pv: Guest, path: Path
):
    done = subprocess.run(
        [
            *(sys.executable, str(INTERFERING), "--host", str(host)),
            *("save", pv.name, str(path)),
        ],
        cwd=ROOT,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 1, done.stderr
    assert "somebody has let it run again: it was not destroyed" in done.stderr
    pv.assert_untouched()
    assert path.stat().st_size > 1 << 20


async def test_guest_that_is_left_suspended_is_told(host, pv: Guest, path, caplog):
    """Unless it runs: what comes next may be done by somebody else."""
    for runs in (False, True):
        async with Context("simxen", host, DEADLINES) as ctx:
            await save(ctx, pv, path)
            if runs:
                async with Context("simxen", host, DEADLINES) as other:
                    await requests.do(other._env(), Op.RESUME, pv.domid)
        told = f"domain {pv.domid}, which was saved, is left suspended"
        assert (told in caplog.text) is not runs
        caplog.clear()
        if not runs:
            async with Context("simxen", host, DEADLINES) as ctx:
                await ctx.domain_resume(pv.domid)
