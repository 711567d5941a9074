"""The helper for hypercalls: shared, kept, never given on once it has failed."""

import asyncio
import errno
import os
import signal
from collections.abc import AsyncIterator

import pytest

from libxlpy.backend import Backend
from libxlpy.deadlines import Deadlines
from libxlpy.domain import hypercalls
from libxlpy.errors import BackendError, DomainNotFound, DomainOpError
from libxlpy.process import environment
from libxlpy.process.environment import Environment, HypercallHelpers
from libxlpy_protocol.enums import Op
from tests.support import scripted

pytestmark = pytest.mark.usefixtures("nothing_blocks")


@pytest.fixture
async def env(backend: Backend) -> AsyncIterator[Environment]:
    helpers = HypercallHelpers()
    yield Environment(backend, Deadlines(), helpers, argv=scripted.argv("ops"))
    await helpers.close()


async def op_after(number: signal.Signals, env: Environment) -> None:
    """Send the helper a signal, then ask it something."""
    async with env.hypercalls() as ops:
        os.kill(ops.process.pid, number)
        await ops.op(Op.INFO, 2)


async def test_helper_is_kept_for_the_next_use(env: Environment):
    async with env.hypercalls() as first:
        assert (await first.op(Op.INFO, 2)).retval == 0
    async with env.hypercalls() as second, env.hypercalls() as third:
        assert first is second is third


async def test_idle_helper_is_kept_while_a_job_is_under_way(
    env: Environment, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(environment, "LINGER", 0.0)
    env.helpers.hold()
    async with env.hypercalls() as first:
        pass
    # Were a timer set by now, it would be due before the next use.
    await asyncio.sleep(0)
    async with env.hypercalls() as second:
        assert second is first
    env.helpers.let_go()
    await first.process.wait()  # kept for no job, it leaves by itself
    async with env.hypercalls() as third:
        assert third is not first


async def test_wrong_question_does_not_cost_the_helper(env: Environment):
    with pytest.raises(DomainNotFound):
        async with env.hypercalls() as first:
            await hypercalls.get(first, 3)
    async with env.hypercalls() as second:
        assert first is second


async def test_failed_hypercall_is_an_error_with_its_errno(env: Environment):
    async with env.hypercalls() as ops:
        with pytest.raises(DomainOpError) as caught:
            await ops.checked_op(Op.PAUSE, 3)
        assert caught.value.errno == errno.ESRCH


async def test_dead_helper_fails_its_users_and_is_replaced(env: Environment):
    async with env.hypercalls() as first:
        pass
    os.kill(first.process.pid, signal.SIGKILL)
    await first.process.wait()
    await first.drain()
    async with env.hypercalls() as second:
        assert second is not first
        assert (await second.op(Op.INFO, 2)).retval == 0


async def test_helper_that_dies_during_an_op_is_told_at_once(env: Environment):
    with pytest.raises(BackendError, match="the helper is gone"):
        await op_after(signal.SIGKILL, env)


async def test_stopped_helper_is_not_waited_for_for_ever(backend: Backend):
    helpers = HypercallHelpers()
    deadlines = Deadlines(domain_op=0.3, exit_after_complete=0.3)
    env = Environment(backend, deadlines, helpers, argv=scripted.argv("ops"))
    told = "no answer in 0.3 s; the machine is overloaded"
    with pytest.raises(BackendError, match=told):
        await op_after(signal.SIGSTOP, env)
    async with env.hypercalls() as fresh:
        assert (await fresh.op(Op.INFO, 2)).retval == 0
    await helpers.close()


async def test_cancelled_user_takes_the_helper_from_nobody(env: Environment):
    using = asyncio.Event()

    async def use_for_ever() -> None:
        async with env.hypercalls():
            using.set()
            await asyncio.get_running_loop().create_future()

    async with env.hypercalls() as ops:
        other = asyncio.create_task(use_for_ever())
        await using.wait()
        other.cancel()
        await asyncio.wait([other])
        results = await asyncio.gather(*(ops.op(Op.INFO, 2) for _ in range(50)))
        assert {result.retval for result in results} == {0}


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("says_why_and_exits", "libxenctrl.so.4: not found"),
        ("garbage_instead_of_hello", "does not fit"),
        ("no_hello", "said nothing for 0.3 s"),
    ],
)
async def test_helper_that_does_not_start_is_quoted(
    backend: Backend, script: str, words: str
):
    helpers = HypercallHelpers()
    deadlines = Deadlines(
        hello=0.3 if script == "no_hello" else 20, exit_after_complete=0.3
    )
    env = Environment(backend, deadlines, helpers, argv=scripted.argv(script))
    with pytest.raises(BackendError, match=words):
        async with env.hypercalls():
            pass
    await helpers.close()


async def test_program_that_is_not_there_is_told(backend: Backend):
    helpers = HypercallHelpers()
    env = Environment(
        backend, Deadlines(), helpers, argv=lambda backend: ["/nowhere/python"]
    )
    with pytest.raises(BackendError, match="can't start the helper"):
        async with env.hypercalls():
            pass
    await helpers.close()
