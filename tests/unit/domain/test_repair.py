"""The repair after a failed save, whatever is still there to help."""

import pytest

from libxlpy.backend import Backend
from libxlpy.deadlines import Deadlines
from libxlpy.domain.repair import Repair
from libxlpy.domain.suspend import GuestSuspend
from libxlpy.process.environment import Environment, HypercallHelpers
from libxlpy.results.report import GuestFacts, GuestState
from libxlpy_protocol.enums import Op
from libxlpy_protocol.messages import DomainOp, Message
from tests.support import scripted

pytestmark = pytest.mark.usefixtures("nothing_blocks")


async def test_guest_that_suspends_late_is_resumed_without_xenstored(backend: Backend):
    asked: list[Op] = []

    def observe(direction: str, message: Message) -> None:
        if isinstance(message, DomainOp):
            asked.append(message.op)

    deadlines, helpers = Deadlines(repair_watch=10.0, xenstore=0.5), HypercallHelpers()
    argv = scripted.argv("late_guest")
    env = Environment(backend, deadlines, helpers, observe, argv)
    facts = GuestFacts(asked=True, acked=True)  # and then xenstored died
    suspend = GuestSuspend(env, 7, "", "pv", facts)
    settled = await Repair(env, suspend, None).run()
    await helpers.close()
    assert Op.RESUME in asked
    assert settled.guest is GuestState.RUNNING
    assert any("can't reach xenstored" in fact for fact in settled.repairs)
