"""What only libxenlight can do on real Xen, done in a process of its own, bounded.

Destroying a domain is more than the hypercall: backends, the device model, xenstore
nodes and the stored configuration go with it.

Xen: tools/libs/light/libxl_domain.c, libxl__destroy_domid().
"""

import asyncio
import os
import sys

from libxlpy.errors import BackendError, DomainReused
from libxlpy.process.environment import Environment
from libxlpy.process.escalation import Escalation, Step
from libxlpy.process.helper import HelperProcess, start_process
from libxlpy.process.link import finish, last_line

MODULE = "libxlpy_helper.builder.main"
#: Its exit status if it found another domain; ``libxlpy_helper.exit_status``.
ANOTHER_DOMAIN = 8


async def destroy(env: Environment, domid: int, uuid: str) -> None:
    """Remove a domain with its devices, device model and xenstore nodes.

    Args:
        env: Deadlines.
        domid: Of the domain.
        uuid: Its own; compared once more right before.

    Raises:
        DomainReused: Another domain has the domid.
        BackendError: It is not removed, or not wholly; libxenlight's words are in it.
    """
    argv = [sys.executable, "-I", "-m", MODULE]
    options = ["--parent", str(os.getpid()), "--destroy", str(domid), "--uuid", uuid]
    seconds = env.deadlines.spawn
    try:
        process = await start_process([*argv, *options], (), seconds)
    except TimeoutError as exc:
        text = f"domain {domid} was not destroyed: no helper in {seconds:g} s"
        raise BackendError(text) from exc
    try:
        async with asyncio.timeout(env.deadlines.destroy):
            status = await process.wait()
    except TimeoutError as exc:
        seconds = env.deadlines.destroy
        text = f"domain {domid} was not destroyed in {seconds:g} s"
        raise BackendError(text) from exc
    finally:
        await finish(asyncio.create_task(_end(process, env)))
    if status.status == ANOTHER_DOMAIN:
        raise DomainReused(domid)
    if status.status != 0:
        why = last_line(process.stderr.text()) or str(status)
        raise BackendError(f"domain {domid} was not destroyed: {why}")


async def _end(process: HelperProcess, env: Environment) -> None:
    """Have the process gone, whatever it does."""
    escalation = Escalation(
        process,
        env.deadlines,
        abort=lambda: None,
        climbed=lambda step, bound: None,
    )
    escalation.demand(Step.TERM)
    await escalation.run()
    process.close()
