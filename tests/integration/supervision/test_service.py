"""What a service tells a supervisor of the jobs of its context."""

import asyncio
import os
import time
from pathlib import Path

import psutil
import pytest

from libxlpy import Cancelled, Context, Recovered, SuspendFlags, UsageError
from libxlpy.supervision import Notifier, Service, Supervisor
from tests.integration.supervision.listener import Listener, listening
from tests.support.guest import Guest, aside, reach, saved_and_resumed

LIVE = SuspendFlags.LIVE


@pytest.fixture(params=["path", "abstract"])
def listener(request, tmp_path):
    with listening(tmp_path if request.param == "path" else None) as found:
        yield found


def supervised(listener: Listener, watchdog: float | None = None) -> Supervisor:
    return Supervisor(listener.address, watchdog)


async def test_life_of_a_service(ctx: Context, pv: Guest, listener):
    async with Service(ctx, supervised(listener)) as service:
        service.ready()
        await aside(listener.until, "READY=1")
        name = (await saved_and_resumed(ctx, pv)).name
        await aside(listener.until_status, f"{name} suspend")
        assert await aside(listener.until_status, "no job") == "no job"
        assert not service.stopping
    await aside(listener.until, "STOPPING=1")
    assert listener.told.count("READY=1") == 1
    assert not any(line.startswith("WATCHDOG") for line in listener.told)


async def test_watchdog_is_fed_while_all_is_well(ctx: Context, listener):
    async with Service(ctx, supervised(listener, watchdog=0.3)):
        for _ in range(3):
            await aside(listener.until, "WATCHDOG=1")


async def test_watchdog_is_not_fed_for_a_job_that_shows_no_life(
    ctx: Context, pv: Guest, listener
):
    pv.misbehave("never_ack")
    with Path("/dev/null").open("wb") as null:
        service = Service(ctx, supervised(listener, watchdog=0.3), silence=0.001)
        async with service:
            job = await ctx.domain_suspend(pv.domid, null.fileno(), LIVE)
            await reach(job, "suspend")
            while not service.stuck():
                await asyncio.sleep(0)
            assert service.stuck() == [job]
            await job.cancel()
            assert service.stuck() == []
            await aside(listener.until, "WATCHDOG=1")  # fed again


async def test_flush_extends_the_timeout(ctx: Context, pv: Guest, listener):
    # Read all the while: a kernel may keep no more than ten that are not read.
    reading = asyncio.create_task(aside(listener.until, "EXTEND_TIMEOUT_USEC="))
    async with Service(ctx, supervised(listener)):
        name = (await saved_and_resumed(ctx, pv)).name
        usec = int(await reading)
    assert usec > 1_000_000
    assert listener.told[-2] == f"STATUS={name} flush"


async def test_recovery_extends_the_timeout(ctx: Context, listener, monkeypatch):
    """Twice at least: when it begins, and while it goes on."""
    going_on = asyncio.Event()

    async def recover() -> list[Recovered]:
        await going_on.wait()
        return []

    monkeypatch.setattr(ctx, "recover", recover)
    async with Service(ctx, supervised(listener)) as service:
        recovery = asyncio.create_task(service.recover())
        await aside(listener.until_status, "recovering")
        for _ in range(2):
            await aside(listener.until, "EXTEND_TIMEOUT_USEC=")
        going_on.set()
        assert await recovery == []
        service.ready()
        await aside(listener.until, "READY=1")


async def test_recovery_that_takes_too_long_is_not_extended(ctx: Context, listener):
    supervisor = supervised(listener, watchdog=0.3)
    async with Service(ctx, supervisor, silence=0.0) as service:
        service._recovering = time.monotonic()
        for _ in range(3):
            await aside(listener.until, "WATCHDOG=1")
        assert not [each for each in listener.told if each.startswith("EXTEND")]


async def test_drain_waits_for_what_ends_in_time(ctx: Context, pv: Guest, listener):
    with Path("/dev/null").open("wb") as null:
        async with Service(ctx, supervised(listener)) as service:
            job = await ctx.domain_suspend(pv.domid, null.fileno(), LIVE)
            drained = await service.drain(60)
            assert service.stopping
            await job
            await ctx.domain_resume(pv.domid)
            await aside(listener.until, "STOPPING=1")
            await aside(listener.until_status, f"stopping: {job.name}")
            await aside(listener.until_status, "stopping: no job")
    assert (drained.ended, drained.cancelled) == ((job.name,), ())


async def test_drain_cancels_what_takes_longer(ctx: Context, pv: Guest, listener):
    pv.misbehave("never_ack")
    with Path("/dev/null").open("wb") as null:
        async with Service(ctx, supervised(listener)) as service:
            job = await ctx.domain_suspend(pv.domid, null.fileno(), LIVE)
            await reach(job, "suspend")
            drained = await service.drain(0.05)
    assert (drained.ended, drained.cancelled) == ((), (job.name,))
    with pytest.raises(Cancelled, match="the service stops"):
        await job
    await aside(pv.assert_untouched)


async def test_supervisor_that_is_gone_harms_nothing(ctx: Context, pv: Guest, tmp_path):
    with listening(tmp_path) as listener:
        supervisor = supervised(listener, watchdog=0.3)
    async with Service(ctx, supervisor) as service:
        service.ready()
        await saved_and_resumed(ctx, pv)


async def test_what_must_arrive_is_sent_again(ctx: Context, tmp_path):
    with listening(tmp_path) as listener:
        flood = Notifier(listener.address)
        while flood.send("WATCHDOG=1"):
            pass  # until its queue is full
        async with Service(ctx, supervised(listener, watchdog=0.3)) as service:
            service.ready()
            await aside(listener.until, "READY=1")
        flood.close()


async def test_helper_is_told_nothing_of_the_supervisor(
    ctx: Context, pv: Guest, listener, monkeypatch
):
    monkeypatch.setenv("NOTIFY_SOCKET", listener.address)
    pv.misbehave("never_ack")
    with Path("/dev/null").open("wb") as null:
        async with Service(ctx) as service:
            service.ready()
            await aside(listener.until, "READY=1")
            job = await ctx.domain_suspend(pv.domid, null.fileno(), LIVE)
            await reach(job, "suspend")
            assert job.helper_pid is not None
            process = await aside(psutil.Process, job.helper_pid)
            environ = await aside(process.environ)
            assert "NOTIFY_SOCKET" not in environ
            await job.cancel()


# ----- the environment ----------------------------------------------------------------


def test_environment_without_supervisor():
    assert Supervisor.of({}) == Supervisor("", None)
    assert Notifier("").send("READY=1")


def test_watchdog_of_another_process_is_not_ours():
    environment = {"WATCHDOG_USEC": "3000000", "WATCHDOG_PID": "1"}
    assert Supervisor.of(environment).watchdog is None
    environment["WATCHDOG_PID"] = str(os.getpid())
    assert Supervisor.of(environment).watchdog == 3.0


@pytest.mark.parametrize("usec", ["0", "-1", "soon", "1.5", "٣"])
def test_bad_watchdog_is_one_clear_line(usec):
    with pytest.raises(UsageError, match=r"WATCHDOG_USEC .* is no number of micros"):
        Supervisor.of({"WATCHDOG_USEC": usec})


def test_address_of_another_kind_is_refused():
    with pytest.raises(UsageError, match="must be a path or @ and an abstract name"):
        Notifier("vsock:2:1234")
