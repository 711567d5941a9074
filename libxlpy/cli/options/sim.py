"""The embedded host simxen, which is for trials and tests."""

from typing import Any

import click

from libxlpy.cli.options.types import JSON, MANY, Group
from libxlpy.cli.terminal.settings import Settings
from libxlpy_protocol.fields import brief

#: Digits of a number of pages a second.
RATE_DIGITS = 10


@click.group(cls=Group)
def sim() -> None:
    """The embedded host simxen: domains without Xen."""


@sim.command("start")
@click.option(
    "--memory",
    type=MANY,
    metavar="MIB",
    help="What its domains may have; without it, what the machine has.",
)
@click.pass_obj
def sim_start(settings: Settings, memory: int | None) -> int:
    """Start a host and print its directory."""
    from libxlpy.cli.sim import start

    return start(settings, memory)


@sim.command("stop")
@click.pass_obj
def sim_stop(settings: Settings) -> int:
    """Stop the host; its domains go with it."""
    from libxlpy.cli.sim import stop

    return stop(settings)


def _rate(ctx: click.Context, param: click.Parameter, value: str) -> int | None:
    """Take pages a second; None for "full", as fast as it goes."""
    if value == "full":
        return None
    if not (value.isascii() and value.isdecimal() and len(value) <= RATE_DIGITS):
        text = f"{brief(value)} is neither a whole number nor 'full'"
        raise click.BadParameter(text, ctx=ctx, param=param)
    return int(value)


@sim.command("create")
@click.argument("name", metavar="NAME")
@click.option(
    "--type",
    "type",
    type=click.Choice(["pv", "pvh", "hvm"]),
    default="pv",
    show_default=True,
)
@click.option(
    "--memory",
    type=MANY,
    default=64,
    show_default=True,
    metavar="MIB",
    help="Memory in MiB.",
)
@click.option("--vcpus", type=MANY, default=1, show_default=True)
@click.option(
    "--rate",
    default="0",
    callback=_rate,
    show_default=True,
    metavar="PAGES/S",
    help='Pages it writes a second, or "full".',
)
@click.option(
    "--pattern",
    type=click.Choice(["uniform", "sequential", "hot"]),
    default="uniform",
    show_default=True,
    help="Which pages it writes.",
)
@click.option(
    "--hot-pages",
    type=click.IntRange(0, MANY.max),
    default=0,
    metavar="N",
    help="Working set of the pattern hot.",
)
@click.option("--paused", is_flag=True, help="Create it paused.")
@click.option(
    "--tracker",
    type=click.Choice(["auto", "uffd", "bitmap"]),
    default="auto",
    show_default=True,
    help="How dirty pages are found.",
)
@click.option(
    "--pv-drivers/--no-pv-drivers",
    default=True,
    help="An HVM guest with or without PV drivers.",
)
@JSON
@click.pass_obj
def sim_create(settings: Settings, /, json: bool, **fields: Any) -> int:
    """Create a domain NAME and print its domid."""
    from libxlpy.cli.sim import create

    return create(settings, fields, json=json)


@sim.command("destroy")
@click.argument("domain", metavar="DOM")
@click.pass_obj
def sim_destroy(settings: Settings, domain: str) -> int:
    """Destroy a domain."""
    from libxlpy.cli.sim import destroy

    return destroy(settings, domain)


@sim.command("list")
@JSON
@click.pass_obj
def sim_list(settings: Settings, json: bool) -> int:
    """List the domains with what only simxen knows of them."""
    from libxlpy.cli.sim import list_domains

    return list_domains(settings, json=json)


@sim.command("verify")
@JSON
@click.argument("domain", metavar="DOM")
@click.pass_obj
def sim_verify(settings: Settings, domain: str, json: bool) -> int:
    """Check every page of a domain's memory; fails if one is stale or torn."""
    from libxlpy.cli.sim import verify

    return verify(settings, domain, json=json)
