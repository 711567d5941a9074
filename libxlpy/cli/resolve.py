"""`xlpy migrate --resolve`: a migration that was left open, settled by facts.

Ask both hosts which copies there are, decide, destroy those that are not the domain,
and only then let the domain run, under its own name.
"""

import json
import re
import shlex
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

from libxlpy import (
    Context,
    DomainCopy,
    DomainInfo,
    LibxlpyError,
    MigrationVerdict,
    UsageError,
)
from libxlpy.aio import aside
from libxlpy.cli.terminal.interrupt import Interrupt, run
from libxlpy.cli.terminal.outcome import GOOD, CommandFailed
from libxlpy.cli.terminal.output import one_line
from libxlpy.cli.terminal.settings import Settings
from libxlpy.cli.terminal.waiting import told_if_long
from libxlpy_protocol.fields import brief

HERE = "this host"
#: Seconds for the other host to answer.
ANSWER_WITHIN = 60.0
LIST = "command -v xlpy >/dev/null && exec xlpy list --json; exec xl list -v"
#: A line of `xl list -v`; names may have blanks.
#: Source: Xen, tools/xl/xl_info.c, list_domains().
ROW = re.compile(
    r"(?P<name>.*?)\s+(?P<domid>\d+)\s+(?P<memory>\d+)\s+(?P<vcpus>\d+)\s+"
    r"(?P<state>[r-][b-][p-][s-][-rscwS?][d-])\s+(?P<time>[\d.]+)\s+(?P<uuid>[0-9a-f-]{36})\s+"
    r"(?P<reason>[0-9a-f]+|-)"
)
#: Xen: public/sched.h, SHUTDOWN_suspend.
SUSPEND = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class ResolveOptions:
    """Options of `xlpy migrate --resolve`, see `options.moves`."""

    command: str
    domain: str
    target: str | None
    #: "here" or "there", as the user has seen; None to be found out.
    runs: str | None


def resolve(settings: Settings, options: ResolveOptions) -> int:
    """Settle a migration; give the exit status."""
    return run(
        settings.signals,
        lambda interrupt: Resolve(settings, options, interrupt).run(),
    )


class Resolve:
    """One `xlpy migrate --resolve`."""

    def __init__(
        self, settings: Settings, options: ResolveOptions, interrupt: Interrupt
    ) -> None:
        self._settings = settings
        self._options = options
        self._interrupt = interrupt
        self._other = OtherHost(options.command, options.target or "")

    async def run(self) -> int:
        """Look, decide, act, and look again."""
        settings, options = self._settings, self._options
        async with Context(settings.backend, settings.host) as ctx:
            here = self._copies(HERE, await ctx.list_domains())
            if options.runs is not None:
                await self._settle_here(ctx, here, is_here=options.runs == "here")
                return GOOD
            what = f"what runs on {one_line(self._other.name)}"
            with told_if_long(settings.out, what):
                there = self._copies(self._other.name, await self._other.domains())
            copies = [*here, *there]
            try:
                verdict = MigrationVerdict.of(copies)
            except UsageError as exc:
                text = f"nothing was changed for {one_line(options.domain)}: {exc}"
                raise CommandFailed(text) from exc
            for copy in verdict.drop:
                await self._settle(ctx, copy, is_here=False)
            await self._settle(ctx, verdict.keep, is_here=True)
        return GOOD

    def _copies(self, host: str, domains: Sequence[DomainInfo]) -> list[DomainCopy]:
        wanted = self._options.domain
        name = DomainCopy.own_name_of(wanted)
        found = [info for info in domains if DomainCopy.own_name_of(info.name) == name]
        if wanted.isascii() and wanted.isdecimal() and host == HERE:
            found = [info for info in domains if str(info.domid) == wanted]
            if not found:
                raise CommandFailed(f"no such domain: {wanted}")
            self._options = replace_domain(self._options, found[0])
        return [DomainCopy(host, info) for info in found]

    async def _settle_here(
        self, ctx: Context, copies: list[DomainCopy], *, is_here: bool
    ) -> None:
        if len(copies) != 1:
            told = "; ".join(map(str, copies)) or "there is none"
            raise CommandFailed(f"which copy is meant: {told}; give its domid")
        await self._settle(ctx, copies[0], is_here=is_here)

    async def _settle(self, ctx: Context, copy: DomainCopy, *, is_here: bool) -> None:
        what = "runs" if is_here else "is destroyed"
        try:
            if copy.host == HERE:
                info = copy.info
                await ctx.migration_settle(info.domid, info.uuid, is_here=is_here)
            else:
                await self._other.settle(copy, is_here=is_here)
        except LibxlpyError as exc:
            done = "nothing more was done"
            raise CommandFailed(f"{copy}; to settle it failed: {exc}; {done}") from exc
        self._settings.changed = True
        name = copy.own_name
        self._settings.out.note(f"'{one_line(name)}' on {one_line(copy.host)} {what}")


def replace_domain(options: ResolveOptions, info: DomainInfo) -> ResolveOptions:
    """Go on by name: a domid is of one host."""
    return ResolveOptions(
        command=options.command,
        domain=DomainCopy.own_name_of(info.name),
        target=options.target,
        runs=options.runs,
    )


class OtherHost:
    """The host at the other end, asked by the command that reaches it."""

    def __init__(self, command: str, name: str) -> None:
        """Take how it is reached.

        Args:
            command: E.g. ``"ssh"``.
            name: Of the host.
        """
        self.name = name
        self._command = command
        self._has_xlpy = False

    async def domains(self) -> list[DomainInfo]:
        """Give its domains.

        Raises:
            CommandFailed: It can't be asked.
        """
        said = (await self._run(LIST)).strip()
        self._has_xlpy = said.startswith("[")
        try:
            if self._has_xlpy:
                return [_of_json(each) for each in json.loads(said)]
        except (ValueError, TypeError, KeyError) as exc:
            text = f"{self.name} said no list of domains, but {brief(said)}"
            raise CommandFailed(text) from exc
        rows = [_of_row(line) for line in said.splitlines()]
        return [info for info in rows if info is not None]

    async def settle(self, copy: DomainCopy, *, is_here: bool) -> None:
        """Have a copy there run under its own name, or be gone; errors as above."""
        info = copy.info
        if self._has_xlpy:
            runs = "here" if is_here else "there"
            await self._run(f"xlpy migrate --resolve {info.domid} --runs {runs}")
            return
        if not is_here:
            await self._run(f"xl destroy {info.domid}")
            return
        if copy.is_suspended:
            await self._run(f"xl resume {info.domid}")
        elif info.paused:
            await self._run(f"xl unpause {info.domid}")
        name = copy.own_name
        if name != info.name:
            await self._run(f"xl rename {info.domid} {shlex.quote(name)}")

    async def _run(self, remote: str) -> str:
        line = f"exec {self._command} {self.name} {shlex.quote(remote)}"
        try:
            done = await aside(lambda: _run(line), ANSWER_WITHIN + 1)
        except (TimeoutError, subprocess.TimeoutExpired) as exc:
            text = f"{self.name} did not answer in {ANSWER_WITHIN:g} s"
            raise CommandFailed(text) from exc
        if done.returncode != 0:
            text = f"{self.name} can't be asked: exit status {done.returncode}"
            raise CommandFailed(text)
        return done.stdout


def _run(line: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["/bin/sh", "-c", line],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        timeout=ANSWER_WITHIN,
        check=False,
        encoding="utf-8",
        errors="replace",
    )


def _of_json(value: Any) -> DomainInfo:
    return DomainInfo(**{item.name: value[item.name] for item in fields(DomainInfo)})


def _of_row(line: str) -> DomainInfo | None:
    """Read a line of `xl list -v`; None for one that is none."""
    found = ROW.match(line)
    if found is None:
        return None
    state = found["state"]
    shutdown = state[3] == "s"
    suspended = shutdown and int(found["reason"], 16) == SUSPEND
    return DomainInfo(
        domid=int(found["domid"]),
        name=found["name"],
        uuid=found["uuid"],
        type="pv",
        memory_kib=int(found["memory"]) * 1024,
        vcpus=int(found["vcpus"]),
        cpu_time_ns=round(float(found["time"]) * 1e9),
        running=state[0] == "r",
        paused=state[2] == "p",
        blocked=state[1] == "b",
        shutdown=shutdown,
        shutdown_reason="suspend" if suspended else "",
        dying=state[5] == "d",
        crashed=shutdown and state[4] == "c",
    )
