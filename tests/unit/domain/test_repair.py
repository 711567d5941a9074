"""The repair after a failed save, whatever is still there to help."""

import pytest

from libxlpy.backend import Backend
from libxlpy.deadlines import Deadlines
from libxlpy.domain.repair import Repair
from libxlpy.domain.suspend import GuestSuspend
from libxlpy.ops import Ops
from libxlpy.process.environment import Environment
from libxlpy.results import GuestState
from libxlpy_protocol.enums import Op
from libxlpy_protocol.messages import DomainOp, Message
from tests.support import scripted

pytestmark = pytest.mark.usefixtures("nothing_blocks")


async def test_guest_that_suspends_late_is_resumed_without_xenstored(backend: Backend):
    asked: list[Op] = []

    def observe(direction: str, message: Message) -> None:
        if isinstance(message, DomainOp):
            asked.append(message.op)

    deadlines, ops = Deadlines(repair_watch=10.0), Ops()
    argv = scripted.argv("late_guest")
    env = Environment(backend, deadlines, ops, observe, argv)
    suspend = GuestSuspend(7, "", "pv", backend, deadlines)
    suspend.asked = suspend.acked = True  # and then xenstored died
    settled = await Repair(env, suspend, None).run()
    await ops.close()
    assert Op.RESUME in asked
    assert settled.guest is GuestState.RUNNING
    assert any("can't reach xenstored" in fact for fact in settled.repairs)
