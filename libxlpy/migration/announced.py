"""The receiver's first words, and which domain is to come: xl's handshake, and ours."""

import uuid as uuids
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager, suppress
from typing import Any, NoReturn

from libxlpy.domain.config import (
    check_shape,
    checked_name,
    checked_uuid,
    parse_config,
    stored_domid,
)
from libxlpy.domain.names import incoming
from libxlpy.domain.toolstack import toolstack_of
from libxlpy.errors import (
    ConfigRefused,
    DryRun,
    JobError,
    MigrationRefused,
    PeerFailed,
    UsageError,
    named,
)
from libxlpy.migration.channel import Channel
from libxlpy.migration.control import Control
from libxlpy.migration.landing import Landing
from libxlpy.migration.objections import check_can_come, check_name_free
from libxlpy.migration.talk import OwnTalk, Talk, XlTalk
from libxlpy.migration.tcp import Carries
from libxlpy.operations.restore_target import Wanted
from libxlpy.process.environment import Environment
from libxlpy.streams import (
    Format,
    StreamEvent,
    StreamParser,
    StreamRuleBroken,
    XlHeaderRead,
)
from libxlpy.streams.pull import MAX_KEEP
from libxlpy_protocol.errors import LibxlpyError, RemoteProtocolError
from libxlpy_protocol.fields import TEXT_MAX, clip
from libxlpy_protocol.hello import PACKAGE, agree
from libxlpy_protocol.messages import Message
from libxlpy_protocol.migration import own, xl
from libxlpy_protocol.value import Value
from libxlpy_protocol.xen import PAGE_SIZE

#: Where the stream comes from: what was handed in, or the caller's own descriptor.
Source = Landing | int


class Announced(Value, kw_only=True):
    """What the sender has said of a domain, and what is to become of it."""

    name: str
    #: "" if its configuration has none.
    uuid: str
    config: bytes
    talk: Talk
    #: None with xl's handshake, which has no offers.
    offer: "Offered | None" = None
    paused: bool
    monitor: bool

    def wanted(self) -> Wanted:
        """Give the domain to restore."""
        return Wanted(
            config=self.config,
            name=incoming(self.name),
            paused=True,
            monitor=self.monitor,
            keep_uuid=True,
            claim_pages=self.offer.pages if self.offer is not None else 0,
        )


class Offered:
    """An offer that was made in our own handshake."""

    def __init__(self, control: Control, offer: own.Offer, source: Source) -> None:
        """Take it.

        Raises:
            MigrationRefused: Its sender speaks no version that we speak.
        """
        try:
            self._version = agree((own.MIN_VERSION, own.VERSION), offer)
        except RemoteProtocolError as exc:
            raise MigrationRefused(own.Refusal.VERSION, str(exc)) from exc
        self._control = control
        self._source = source
        self._memory_kib = offer.memory_kib
        #: Name of the migration at both ends.
        self.migration = str(uuids.UUID(bytes=offer.job))

    @property
    def pages(self) -> int:
        """What the domain has of memory where it comes from."""
        return self._memory_kib * 1024 // PAGE_SIZE

    async def promise(self, name: str) -> NoReturn:
        """Say that it could come, which was all that was asked.

        Raises:
            DryRun: That was said.
        """
        await self._control.say(own.Accept(self._version, PACKAGE, ""))
        raise DryRun(f"{named(name)} could come here, and nothing was done")

    async def meanwhile(self, work: Awaitable[None]) -> None:
        """Do something that takes its time, while the sender is there.

        Raises:
            JobError: It has given up, or is gone; the work has stopped.
            Exception: Whatever the work raises.
        """
        await self._control.meanwhile(work)

    async def accept(self, seconds: float) -> int:
        """Accept it, and wait for the stream; give its descriptor."""
        source = self._source
        landing = "" if isinstance(source, int) else source.name
        await self._control.say(own.Accept(self._version, PACKAGE, landing))
        if isinstance(source, int):
            return source
        return await self._control.meanwhile(source.taken("peer_ready", seconds))


@asynccontextmanager
async def announced(
    env: Environment,
    channel: Channel,
    source: Source | None,
    *,
    paused: bool,
    monitor: bool,
    held: bool = False,
) -> AsyncIterator[Announced]:
    """Say that we are there, and hear which domain comes; what fails then is told.

    Args:
        env: Backend, deadlines.
        channel: To the sender.
        source: Where the stream comes from; None for xl's handshake.
        paused: The domain is to stay paused.
        monitor: A process is to look after it.
        held: It is the copy of a guest that is protected.

    Raises:
        DryRun: The sender only asks; it has its answer.
        PeerFailed: The sender does not say it.
        TimedOut: It keeps us waiting.
        UsageError: The domain is not taken.
    """
    if source is None:
        channel.find_dead_peer(env.deadlines, Carries.NOTHING)
        config = await _config(env, channel)
        parsed = _parsed(config)
        name, uuid = await _free_name(env, parsed)
        xl_talk = XlTalk(channel, env.deadlines)
        yield Announced(
            name=name,
            uuid=uuid,
            config=config,
            talk=xl_talk,
            paused=paused,
            monitor=monitor,
        )
        return
    ready = own.READY_TO_HOLD if held else own.READY
    await channel.say(ready, "peer_answer", env.deadlines.peer_answer)
    control = Control(channel, env.deadlines)
    try:
        offer = await control.hear_one(own.Offer, failed="did not offer a domain")
        async with _refusing(control):
            parsed = _parsed(offer.config)
            name, uuid = await _free_name(env, parsed)
            await check_can_come(env, offer, parsed)
            offered, talk = Offered(control, offer, source), OwnTalk(control)
            if not offer.dry_run:
                yield Announced(
                    name=name,
                    uuid=uuid,
                    config=offer.config,
                    talk=talk,
                    offer=offered,
                    paused=paused,
                    monitor=monitor,
                )
                return
        await offered.promise(name)
    except BaseException:
        await control.close()
        raise


async def _config(env: Environment, channel: Channel) -> bytes:
    """Have the header of a saved domain, as `xl` writes it; give its configuration."""
    seconds = env.deadlines.peer_answer
    await channel.say(xl.READY, "peer_answer", seconds)
    parser = StreamParser(Format.XL_HEADER)
    events: list[StreamEvent] = []
    what = "the header of a saved domain"
    try:
        while not parser.finished:
            size = min(parser.wanted, MAX_KEEP)
            came = await channel.read(size, what, "peer_answer", seconds)
            events += parser.feed(came)
    except StreamRuleBroken as exc:
        raise PeerFailed(f"did not send {what}", str(exc)) from exc
    (header,) = events
    assert isinstance(header, XlHeaderRead)
    return header.config or b""


def _parsed(config: bytes) -> dict[str, Any]:
    parsed = parse_config(config)
    check_shape(parsed)
    return parsed


async def _free_name(env: Environment, config: dict[str, Any]) -> tuple[str, str]:
    """Give a domain's name, which no other domain has, and its uuid."""
    created = config["c_info"]
    uuid = checked_uuid(created.get("uuid"))
    try:
        name = checked_name(created.get("name"))
        for called in (name, incoming(name)):
            toolstack_of(env).check_name(called)
    except UsageError as exc:
        raise ConfigRefused(str(exc)) from exc
    domid = stored_domid(created.get("domid"))
    await check_name_free(env, name, uuid, domid)
    return name, uuid or ""


@asynccontextmanager
async def _refusing(control: Control) -> AsyncIterator[None]:
    """Tell the sender what is against its domain, if anything is."""
    try:
        yield
    except LibxlpyError as exc:
        with suppress(JobError):
            await control.say(_refusal(exc))
            exc.was_told = not isinstance(exc, PeerFailed)  # that is the sender's news
        raise


def _refusal(error: LibxlpyError) -> Message:
    """Give what is said of a failure: one of a job comes once the offer is accepted."""
    text = clip(str(error), TEXT_MAX)
    match error:
        case JobError():
            return own.GiveUp(text)
        case MigrationRefused(refusal=refusal):
            return own.Refuse(refusal, text)
        case ConfigRefused():
            return own.Refuse(own.Refusal.CONFIG, text)
        case _:
            return own.Refuse(own.Refusal.OTHER, text)
