"""`xlpy recover`: the jobs of processes that have died.

A migration that is left open is settled, if the other host can be asked: by the command
of `--ask`, or that which its source was given, which its entry in the journal has.
"""

from typing import Any

from libxlpy import Context, GuestState, Outcome, Recovered
from libxlpy.cli.other_host import OtherHost
from libxlpy.cli.resolve import HERE, Resolve
from libxlpy.cli.terminal.interrupt import run
from libxlpy.cli.terminal.outcome import FAILED, GOOD, CommandFailed
from libxlpy.cli.terminal.output import one_line
from libxlpy.cli.terminal.settings import Settings
from libxlpy.cli.terminal.waiting import told_if_long
from libxlpy_protocol.value import Value

#: Outcomes after which somebody must look.
BAD = frozenset({Outcome.FAILED, Outcome.OPEN, Outcome.UNREADABLE})


class RecoverOptions(Value, kw_only=True):
    """Options of `xlpy recover`, see `options.jobs`."""

    dry_run: bool
    json: bool
    #: The host to ask in place of the one that the journal has; None for that one.
    ask: str | None
    command: str


def recover_jobs(settings: Settings, options: RecoverOptions) -> int:
    """Recover all jobs of dead processes, or say what would be done."""
    found, living = run(settings.signals, lambda _: _recover(settings, options))
    if options.json:
        settings.out.json([_facts(each) for each in found])
    for each in [] if options.json else found:
        dry_run = "dry run: " if options.dry_run else ""
        settings.out.fact(f"{dry_run}{one_line(str(each))}")
    if not found:
        settings.out.note("; ".join(("nothing to recover", *living)))
    return FAILED if any(each.outcome in BAD for each in found) else GOOD


async def _recover(
    settings: Settings, options: RecoverOptions
) -> tuple[list[Recovered], list[str]]:
    """Give what was recovered, and what is not to be, as its process lives."""
    async with Context(settings.backend, settings.host) as ctx:
        with told_if_long(settings.out, "jobs to end"):
            found = await ctx.recover(options.dry_run)
        settings.changed = not options.dry_run
        living = [
            f"{each.job} is not lost, its process {each.pid} lives"
            for each in ([] if found else await ctx.list_jobs())
            if each.state == "running"
        ]
        done = [await _settled(settings, ctx, options, each) for each in found]
    return done, living


async def _settled(
    settings: Settings, ctx: Context, options: RecoverOptions, found: Recovered
) -> Recovered:
    """Settle one job that is open; give the others as they are."""
    if found.outcome is not Outcome.OPEN:
        return found
    words = found.reached_by
    if options.ask is not None:
        words = f"{options.command} {options.ask}".strip()
    is_noted = words == found.reached_by
    if not words:
        return found
    if options.dry_run:
        return found.replace(text=f"{found.text}; would ask `{words}`")
    name = f"`{words}`" if options.ask is None else options.ask
    other = OtherHost(words, name, settings.out.note)
    resolve = Resolve(settings, ctx, str(found.domid))
    try:
        kept = await resolve.ask(other, if_it_has_one=not is_noted)
    except CommandFailed as exc:
        return found.replace(text=f"{found.text}; {exc}")
    is_here, was_to_leave = kept.host == HERE, found.kind == "migrate"
    where = "here" if is_here else f"at the other end ({other.name})"
    seen = await _seen(ctx, found)
    return seen.replace(
        outcome=Outcome.ROLLED_BACK if is_here is was_to_leave else Outcome.FINISHED,
        text=f"both hosts were asked: {kept.own_name!r} is {where}",
    )


async def _seen(ctx: Context, found: Recovered) -> Recovered:
    """Look where its guest is by now."""
    assert found.error is not None  # it could be read
    guest = GuestState.GONE
    for info in await ctx.list_domains():
        if info.domid == found.domid:
            guest = GuestState.PAUSED if info.paused else GuestState.RUNNING
    found.error.details = found.error.details.replace(guest=guest)
    return found


def _facts(found: Recovered) -> dict[str, Any]:
    return {
        "job": found.job,
        "what": found.what,
        "domid": found.domid,
        "outcome": found.outcome.value,
        "text": found.text,
        "guest": found.guest.value,
        "image": found.image.value,
        "repairs": list(found.repairs),
    }
