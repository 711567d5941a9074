"""The host at the other end of a migration, asked by a command, for its domains.

And told what is to become of a copy there; by its `xlpy`, or by its `xl`.
"""

import json
import os
import re
import shlex
import subprocess
from collections.abc import Callable
from typing import Any

from libxlpy import DomainCopy, DomainInfo
from libxlpy.aio import aside
from libxlpy.cli.terminal.outcome import CommandFailed
from libxlpy.errors import last_line
from libxlpy_protocol.fields import brief

#: Seconds for the other host to answer.
ANSWER_WITHIN = 60.0
#: Bytes of its stderr that are read.
SAID_MAX = 1 << 16
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


class OtherHost:
    """The host at the other end, asked by the command that reaches it."""

    def __init__(self, words: str, name: str, tell: Callable[[str], None]) -> None:
        """Take how it is reached.

        Args:
            words: What runs a command there, e.g. ``"ssh target"``.
            name: Of the host, as in messages.
            tell: Is given the lines that come from there while it is asked.
        """
        self.name = name
        self._words = words
        self._tell = tell
        self._has_xlpy = False

    async def domains(self) -> list[DomainInfo]:
        """Give its domains.

        Raises:
            CommandFailed: It can't be asked.
        """
        done = await self._run(LIST, "asked")
        for line in done.stderr.splitlines():
            if line.strip():
                self._tell(f"{self.name}: {line}")
        said = done.stdout.strip()
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
        """Have a copy there run under its own name, or be gone; errors as above.

        What is said there of what was done is for who asks for it to say.
        """
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

    async def _run(
        self, remote: str, what: str = "told"
    ) -> subprocess.CompletedProcess[str]:
        """Run a command there; with its last line if it fails, which is not printed."""
        line = f"exec {self._words} {shlex.quote(remote)}"
        try:
            done = await aside(lambda: _run(line), ANSWER_WITHIN + 1)
        except (TimeoutError, subprocess.TimeoutExpired) as exc:
            text = f"{self.name} did not answer in {ANSWER_WITHIN:g} s"
            raise CommandFailed(text) from exc
        if done.returncode != 0:
            said = last_line(done.stderr)
            text = f"{self.name} can't be {what}: exit status {done.returncode}"
            raise CommandFailed(f"{text}: {said}" if said else text)
        return done


def _run(line: str) -> subprocess.CompletedProcess[str]:
    """Run it; blocks. Its stderr is no pipe: an `ssh` that stays would keep it open."""
    with os.fdopen(os.memfd_create("libxlpy-other-host"), "r+b") as stderr:
        done = subprocess.run(
            ["/bin/sh", "-c", line],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=stderr,
            timeout=ANSWER_WITHIN,
            check=False,
            encoding="utf-8",
            errors="replace",
        )
        stderr.seek(0)
        done.stderr = stderr.read(SAID_MAX).decode(errors="replace")
    return done


def _of_json(value: Any) -> DomainInfo:
    return DomainInfo(**{name: value[name] for name in DomainInfo.names()})


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
