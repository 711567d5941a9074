"""A helper for domain ops only: started, greeted, dismissed."""

import asyncio
from typing import Any

from libxlpy.deadlines import Deadlines
from libxlpy.errors import BackendError
from libxlpy.process.environment import Environment
from libxlpy.process.escalation import Step
from libxlpy.process.link import HelperLink, finish, last_line, start_helper
from libxlpy_protocol.enums import Mode
from libxlpy_protocol.messages import Hello, Start


async def start_ops_helper(env: Environment) -> HelperLink:
    """Start a helper that only makes hypercalls for us; end it with :func:`dismiss`.

    Raises:
        BackendError: It did not start; its own words are in the message.
    """
    try:
        process = await start_helper(env)
    except TimeoutError as exc:
        seconds = env.deadlines.spawn
        raise BackendError(f"helper did not start in {seconds:g} s") from exc
    link = HelperLink(env, process)
    try:
        link.hello()
        await greet(link, env.deadlines)
    except BaseException:
        await finish(asyncio.create_task(dismiss(link)))
        raise
    link.send(Start(Mode.OPS))
    return link


async def greet(link: HelperLink, deadlines: Deadlines) -> Hello:
    """Wait for a helper's hello.

    Raises:
        BackendError: It ended instead, said something else, or said nothing in time.
    """
    both: set[asyncio.Future[Any]] = {link.greeted, link.ended}
    await asyncio.wait(
        both, timeout=deadlines.hello, return_when=asyncio.FIRST_COMPLETED
    )
    if link.greeted.done():
        return link.greeted.result()
    if not link.ended.done():
        raise BackendError(f"helper said nothing for {deadlines.hello:g} s")
    if (error := link.ended.result()) is not None:
        raise BackendError(f"helper does not fit: {error}") from error
    link.escalation.demand(Step.LEAVE)
    status = await link.escalation.run()
    words = last_line(link.process.stderr.text())
    raise BackendError(words or f"helper did not start: {status}")


async def dismiss(link: HelperLink) -> None:
    """Make an ops helper leave, by EOF first."""
    link.pump.hang_up()
    link.escalation.demand(Step.LEAVE)
    await link.escalation.run()
    link.close()
