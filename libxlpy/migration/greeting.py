"""The sender's first words: which handshake is spoken, and what is to come."""

import asyncio
import os
import uuid as uuids
from collections.abc import Awaitable, Callable
from contextlib import suppress

from libxlpy.domain.info import DomainInfo
from libxlpy.errors import JobError, MigrationRefused, PeerFailed, TimedOut
from libxlpy.migration.channel import Channel
from libxlpy.migration.control import Control
from libxlpy.migration.host_facts import host_facts
from libxlpy.migration.talk import OwnTalk, Talk, XlTalk
from libxlpy.migration.tcp import Carries, find_dead_peer
from libxlpy.process.environment import Environment
from libxlpy.streams.xl import pack_header
from libxlpy_protocol.errors import LibxlpyError
from libxlpy_protocol.fields import TEXT_MAX, clip
from libxlpy_protocol.hello import PACKAGE
from libxlpy_protocol.migration import own, xl
from libxlpy_protocol.value import Value

#: Gives a descriptor that leads to a receiver's landing, by its name.
Connect = Callable[[str], Awaitable[int]]


class Greeted(Value):
    """A receiver that waits for the stream."""

    talk: Talk
    #: Where the stream goes.
    stream_fd: int
    #: Name of the migration at both ends; "" if xl's handshake is spoken.
    migration: str = ""

    @property
    def keeps_paused(self) -> bool:
        """It can be told that a guest is paused, and has to stay so."""
        return bool(self.migration)


async def greet(
    env: Environment,
    channel: Channel,
    domain: DomainInfo,
    config: bytes,
    connect: Connect | None,
    ready: bytes = own.READY,
) -> Greeted:
    """Greet a receiver.

    Args:
        env: Backend, deadlines.
        channel: To the receiver.
        domain: Is to come.
        config: Of it, libxl's JSON.
        connect: Leads to where the stream is handed in; None for xl's handshake only.
        ready: What it says first in ours.

    Raises:
        MigrationRefused: It does not take the domain.
        PeerFailed: It is not there, or says something else.
        TimedOut: It says nothing.
    """
    await channel.reach()
    deadlines = env.deadlines
    texts = [xl.READY] if connect is None else [xl.READY, ready]
    said = await channel.hear_one(texts, "peer_ready", deadlines.peer_ready)
    if said == xl.READY or connect is None:
        header = pack_header(config, json=True)
        channel.find_dead_peer(deadlines, Carries.STREAM)
        await channel.say(header, "peer_answer", deadlines.peer_answer)
        return Greeted(XlTalk(channel, deadlines), channel.write_fd)
    offer = await _offer(env, domain, config)
    control = Control(channel, deadlines)
    try:
        await control.say(offer)
        landing = await _accepted(control, offer)
        stream_fd = await _connected(control, connect(landing), deadlines.peer_ready)
        find_dead_peer(stream_fd, deadlines, Carries.STREAM)
    except BaseException:
        await control.close()
        raise
    return Greeted(OwnTalk(control), stream_fd, str(uuids.UUID(bytes=offer.job)))


async def ask(
    env: Environment, channel: Channel, domain: DomainInfo, config: bytes
) -> bool:
    """Ask a receiver whether a domain could come, and no more; it ends then.

    Returns:
        False: It speaks `xl`'s handshake, in which there is no such question: it is
        there, and was told nothing.

    Raises:
        MigrationRefused: It would not take the domain.
        PeerFailed: It is not there, or says something else.
        TimedOut: It says nothing.
    """
    await channel.reach()
    texts = (xl.READY, own.READY)
    seconds = env.deadlines.peer_ready
    if await channel.hear_one(texts, "peer_ready", seconds) == xl.READY:
        return False
    offer = (await _offer(env, domain, config)).replace(dry_run=True)
    control = Control(channel, env.deadlines)
    try:
        await control.say(offer)
        await _accepted(control, offer)
    finally:
        await control.close()
    return True


async def _offer(env: Environment, domain: DomainInfo, config: bytes) -> own.Offer:
    facts = await host_facts(env.backend)
    return own.Offer(
        version=own.VERSION,
        min_version=own.MIN_VERSION,
        package=PACKAGE,
        job=uuids.UUID(bytes=os.urandom(16), version=4).bytes,
        host=facts.host,
        uuid=uuids.UUID(domain.uuid).bytes,
        kind=domain.type,
        memory_kib=domain.memory_kib,
        xen=facts.xen,
        vendor=facts.vendor,
        config=config,
    )


async def _connected(
    control: Control, connecting: Awaitable[int], seconds: float
) -> int:
    """Have the stream lead to the receiver, who is told if it does not."""
    try:
        async with asyncio.timeout(seconds):
            return await control.meanwhile(connecting)
    except TimeoutError:
        error: LibxlpyError = TimedOut("peer_ready", seconds)
    except LibxlpyError as exc:
        error = exc
    with suppress(JobError):
        await control.say(own.GiveUp(clip(str(error), TEXT_MAX)))
    raise error


async def _accepted(control: Control, offer: own.Offer) -> str:
    """Wait for the answer to an offer; give where its stream is handed in."""
    failed = "did not accept the domain"
    answer = await control.hear_one(own.Accept, own.Refuse, failed=failed)
    if isinstance(answer, own.Refuse):
        text = f"the other end does not take it: {answer.text}"
        raise MigrationRefused(answer.refusal, text)
    assert isinstance(answer, own.Accept)
    if not offer.min_version <= answer.version <= offer.version:
        raise PeerFailed(failed, f"it chose protocol version {answer.version}")
    return answer.landing
