"""What looks at domains and at save files, and changes none."""

from pathlib import Path
from typing import Any

import click

from libxlpy.cli.options.types import FILE, JSON, Command
from libxlpy.cli.terminal.settings import Settings

PICTURES = (".svg", ".png")


@click.command("list", cls=Command)
@click.argument("domains", nargs=-1, metavar="[DOM]...")
@click.option("-l", "--long", is_flag=True, help="Their configurations, as JSON.")
@JSON
@click.pass_obj
def list_command(
    settings: Settings, domains: tuple[str, ...], long: bool, json: bool
) -> int:
    """List domains: all of them, or those named.

    State is r(unning) b(locked) p(aused) s(hut down) c(rashed) d(ying), as in xl list.
    """
    from libxlpy.cli.list import list_configurations, list_domains

    if long:
        return list_configurations(settings, domains)
    return list_domains(settings, domains, json=json)


@click.command(cls=Command)
@JSON
@click.argument("file", type=FILE, metavar="FILE")
@click.pass_obj
def verify(settings: Settings, file: Path, json: bool) -> int:
    """Check that FILE is a whole and sound save file, byte for byte of its format."""
    from libxlpy.cli.verify import verify_file

    return verify_file(settings, file, json=json)


def _plot(
    ctx: click.Context, param: click.Parameter, value: Path | None
) -> Path | None:
    if value is not None and value.suffix.lower() not in PICTURES:
        text = f"{str(value)!r} ends in neither .svg nor .png"
        raise click.BadParameter(text, ctx=ctx, param=param)
    return value


@click.command(cls=Command)
@JSON
@click.option("--records", is_flag=True, help="List all records with their offsets.")
@click.option("--config", is_flag=True, help="Print the whole configuration, too.")
@click.option(
    "--plot",
    type=FILE,
    callback=_plot,
    metavar="OUT.svg|OUT.png",
    help="Draw a map of the guest's memory by page type.",
)
@click.argument("file", type=FILE, metavar="FILE")
@click.pass_obj
def inspect(settings: Settings, /, **options: Any) -> int:
    """Show what is in FILE: headers, configuration, records, memory, emulator.

    Of a damaged file, all is shown that comes before the damage; the exit status is
    then 1.
    """
    from libxlpy.cli.inspect.file import InspectOptions, inspect_file

    return inspect_file(settings, InspectOptions(**options))
