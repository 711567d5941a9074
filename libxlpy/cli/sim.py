"""`xlpy sim ...`: start, stop and use an embedded host."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from libxlpy import JobStatus, LibxlpyError
from libxlpy.cli.terminal.interrupt import ask
from libxlpy.cli.terminal.outcome import FAILED, GOOD, CommandFailed
from libxlpy.cli.terminal.output import one_line
from libxlpy.cli.terminal.settings import Settings
from libxlpy.cli.terminal.signals import Interrupted, Signals
from libxlpy.errors import named
from libxlpy.simxen.client import request, start_host, stop_host
from libxlpy.simxen.directory import default_directory
from libxlpy.simxen.errors import HostNotRunning, SimxenError
from libxlpy.simxen.vcpu import FULL_SPEED
from libxlpy_protocol.xen import (
    SHUTDOWN_CRASH,
    SHUTDOWN_POWEROFF,
    SHUTDOWN_REBOOT,
    SHUTDOWN_SUSPEND,
)

#: What a shutdown reason makes of a domain.
STOPPED = {
    SHUTDOWN_POWEROFF: "poweroff",
    SHUTDOWN_REBOOT: "reboot",
    SHUTDOWN_SUSPEND: "suspended",
    SHUTDOWN_CRASH: "crashed",
}
#: Field of a request to create -> the option that it comes from.
OPTIONS = {
    "memory_mib": "--memory",
    "vcpus": "--vcpus",
    "rate": "--rate",
    "pattern": "--pattern",
    "hot_pages": "--hot-pages",
    "tracker": "--tracker",
    "pv_drivers": "--no-pv-drivers",
    "name": "NAME",
    "type": "--type",
}
#: Where a refusal names a field: as what must be something, or as no word is.
FIELD = re.compile(r"^\w+(?= must be )|\w+_\w+|pattern(?= hot)")
#: What is told of a signal while the host is at something that it was asked for.
NOT_AWAITED = "the host may do it all the same"

#: Columns of `sim list`: title, width (negative: left), fact.
COLUMNS: tuple[tuple[str, int, Callable[[dict[str, Any]], str]], ...] = (
    ("Name", -24, lambda facts: facts["name"]),
    ("ID", 5, lambda facts: str(facts["domid"])),
    ("Type", -4, lambda facts: facts["type"]),
    ("Mem", 6, lambda facts: str(facts["memory_mib"])),
    ("State", -9, lambda facts: state(facts)),
    ("Guest-ID", 16, lambda facts: f"{facts['guest_id']:016x}"),
    ("Writes", 12, lambda facts: str(facts["counter"])),
    ("Log-dirty", -9, lambda facts: "on" if facts["logdirty"] else "off"),
)


def start(settings: Settings, memory: int | None) -> int:
    """Start a host with so many MiB for its domains; print its directory."""
    directory = _directory(settings)
    if _answers(directory):
        settings.out.note(f"a simxen host already runs in {directory}")
    else:
        _start(settings.signals, directory, memory)
    settings.changed = True
    settings.out.fact(str(directory))
    return GOOD


def _start(signals: Signals, directory: Path, memory: int | None) -> None:
    with signals.deferred(f"a host may run in {directory}") as came:
        start_host(directory, memory_mib=memory)
        if signum := came():
            stop_host(directory)
            raise Interrupted(signum)


def stop(settings: Settings) -> int:
    """Stop a host."""
    with settings.signals.told_as(NOT_AWAITED):
        stop_host(_directory(settings))
    return GOOD


def create(settings: Settings, fields: dict[str, Any], *, json: bool) -> int:
    """Create a domain; print its domid."""
    rate = FULL_SPEED if fields["rate"] is None else fields["rate"]
    memory = fields.pop("memory")
    domid = _create(settings, {**fields, "rate": rate, "memory_mib": memory})
    settings.changed = True
    if json:
        settings.out.json({"domid": domid, "name": fields["name"]})
    else:
        settings.out.fact(str(domid))
    return GOOD


def _create(settings: Settings, fields: dict[str, Any]) -> int:
    directory = _directory(settings)
    with settings.signals.deferred(NOT_AWAITED) as came:
        domid = int(_asked(directory, fields)["domid"])
        if signum := came():
            request(directory, "destroy", domid=domid)
            raise Interrupted(signum)
    return domid


def _asked(directory: Path, fields: dict[str, Any]) -> dict[str, Any]:
    """Have the host create it; its fields are named as they were typed."""
    try:
        return request(directory, "create", **fields)
    except SimxenError as exc:
        text = FIELD.sub(lambda found: OPTIONS.get(found[0], found[0]), str(exc))
        raise CommandFailed(text) from exc


def destroy(settings: Settings, domain: str) -> int:
    """Destroy a domain, as `xl destroy` also under a job; that one is told."""
    domid = _domid(settings, domain)
    jobs = _alive(settings, domid)
    with settings.signals.told_as(NOT_AWAITED):
        request(_directory(settings), "destroy", domid=domid)
    for job in jobs:
        what = f"domain {domid} was destroyed under {job.job} of process {job.pid}"
        settings.out.note(f"xlpy: {what}, which fails of it: see `xlpy jobs`")
    return GOOD


def _alive(settings: Settings, domid: int) -> list[JobStatus]:
    """Give the jobs of a domain whose process lives; none if nobody can say."""
    here = Settings(settings.out, settings.signals)
    here.backend, here.host = "simxen", _directory(settings)
    try:
        jobs = ask(here, lambda ctx: ctx.list_jobs())
    except LibxlpyError:
        return []  # a courtesy
    return [job for job in jobs if job.domid == domid and job.state != "lost"]


def list_domains(settings: Settings, *, json: bool) -> int:
    """Print what the host knows of its domains."""
    domains = request(_directory(settings), "list")["domains"]
    if json:
        settings.out.json(domains)
        return GOOD
    settings.out.fact("  ".join(_cell(title, width) for title, width, _ in COLUMNS))
    for facts in domains:
        cells = [_cell(one_line(fact(facts)), width) for _, width, fact in COLUMNS]
        settings.out.fact("  ".join(cells).rstrip())
    return GOOD


def verify(settings: Settings, domain: str, *, json: bool) -> int:
    """Check a domain's memory page for page."""
    found = request(_directory(settings), "verify", domid=_domid(settings, domain))
    if json:
        settings.out.json(found)
    else:
        settings.out.fact(
            f"{found['pages']:,} pages checked, {found['bad']:,} bad, digest "
            f"{'matches' if found['match'] else 'DOES NOT MATCH'}"
        )
        if found["bad"]:
            settings.out.fact(f"first bad page: {found['first_bad']:#x}")
    return GOOD if found["match"] else FAILED


def state(facts: dict[str, Any]) -> str:
    """Give a domain's state in a word."""
    if facts["dying"]:
        return "dying"
    if facts["shutdown"]:
        reason = facts["shutdown_reason"]
        return STOPPED.get(reason, str(reason))
    return "paused" if facts["paused"] else "running"


def _cell(text: str, width: int) -> str:
    return text.ljust(-width) if width < 0 else text.rjust(width)


def _directory(settings: Settings) -> Path:
    if settings.backend == "xen":
        raise CommandFailed("`xlpy sim` is about simxen: leave out --backend xen")
    return settings.host.absolute() if settings.host else default_directory()


def _answers(directory: Path) -> bool:
    try:
        request(directory, "ping")
    except HostNotRunning:
        return False
    return True


def _domid(settings: Settings, domain: str) -> int:
    """Find a domain by domid or name."""
    for facts in request(_directory(settings), "list")["domains"]:
        if domain in (str(facts["domid"]), facts["name"]):
            return int(facts["domid"])
    raise CommandFailed(f"no such domain: {named(domain)} (see `xlpy sim list`)")
