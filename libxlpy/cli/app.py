"""The program `xlpy`: the options before a command, and which commands there are.

Each topic of `options/` has those of its commands. The modules that do the work are
imported when a command runs, so that `--help` and usage errors need no more than click.
"""

from pathlib import Path

import click

from libxlpy.cli.options import jobs, looks, moves, sim
from libxlpy.cli.terminal.settings import BackendName, Settings

HELP = {"help_option_names": ["-h", "--help"]}


def _version(ctx: click.Context, _param: click.Parameter, wanted: bool) -> None:
    if wanted and not ctx.resilient_parsing:
        from importlib.metadata import version

        click.echo(f"xlpy {version('libxlpy')}")
        ctx.exit()


@click.group(context_settings=HELP)
@click.option("-v", "--verbose", is_flag=True, help="Print log lines and reports.")
@click.option(
    "--backend",
    type=click.Choice(["auto", "xen", "simxen"]),
    default="auto",
    show_default=True,
    help="Xen in a dom0, else the embedded host simxen.",
)
@click.option(
    "--host",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Directory of the simxen host.",
)
@click.option(
    "--version",
    is_flag=True,
    expose_value=False,
    is_eager=True,
    callback=_version,
    help="Show the version and exit.",
)
@click.pass_obj
def xlpy(
    settings: Settings, verbose: bool, backend: BackendName, host: Path | None
) -> None:
    """Save, restore and migrate Xen domains; the guest survives whatever fails.

    Domains are named by name or domid. Exit status: 0 good, 1 failed, 2 wrong usage,
    130 after Ctrl-C.
    """
    settings.verbose = verbose
    settings.backend = backend
    settings.host = host


for _command in (
    *(moves.save, moves.restore, moves.migrate, moves.migrate_receive),
    *(looks.list_command, looks.verify, looks.inspect),
    *(jobs.jobs, jobs.abort, jobs.report, jobs.recover),
    sim.sim,
):
    xlpy.add_command(_command)
