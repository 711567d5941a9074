"""Options of `xlpy inspect`; what it does is imported when it runs."""

from pathlib import Path
from typing import Any

import click

from libxlpy.cli.terminal.settings import Settings

PICTURES = (".svg", ".png")


def _plot(
    ctx: click.Context, param: click.Parameter, value: Path | None
) -> Path | None:
    if value is not None and value.suffix.lower() not in PICTURES:
        text = f"{str(value)!r} ends in neither .svg nor .png"
        raise click.BadParameter(text, ctx=ctx, param=param)
    return value


@click.command()
@click.option("--json", is_flag=True, help="Print JSON for programs.")
@click.option("--records", is_flag=True, help="List all records with their offsets.")
@click.option("--config", is_flag=True, help="Print the whole configuration, too.")
@click.option(
    "--plot",
    type=click.Path(path_type=Path),
    callback=_plot,
    metavar="OUT.svg|OUT.png",
    help="Draw a map of the guest's memory by page type.",
)
@click.argument("file", type=click.Path(path_type=Path), metavar="FILE")
@click.pass_obj
def inspect(settings: Settings, /, **options: Any) -> int:
    """Show what is in FILE: headers, configuration, records, memory, emulator.

    Of a damaged file, all is shown that comes before the damage; the exit status is
    then 1.
    """
    from libxlpy.cli.inspect.file import InspectOptions, inspect_file

    return inspect_file(settings, InspectOptions(**options))
