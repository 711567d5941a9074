"""The program `xlpy`: the options before a command, and which commands there are.

Each topic of `options/` has those of its commands, and is loaded when one is asked for.
The modules that do the work are imported when a command runs, so that `--help` and
usage errors need no more than click.
"""

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path

import click

from libxlpy.cli.terminal.settings import BackendName, Settings

HELP = {"help_option_names": ["-h", "--help"]}


#: Command -> the topic that has it, and its name there.
COMMANDS: Mapping[str, tuple[str, str]] = {
    "save": ("moves", "save"),
    "restore": ("moves", "restore"),
    "migrate": ("moves", "migrate"),
    "migrate-receive": ("moves", "migrate_receive"),
    "remus": ("protects", "remus"),
    "list": ("looks", "list_command"),
    "verify": ("looks", "verify"),
    "inspect": ("looks", "inspect"),
    "jobs": ("jobs", "jobs"),
    "abort": ("jobs", "abort"),
    "report": ("jobs", "report"),
    "recover": ("jobs", "recover"),
    "sim": ("sim", "sim"),
}


class Commands(click.Group):
    """All commands; one is loaded when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """See the base class."""
        del ctx
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """See the base class."""
        del ctx
        if cmd_name not in COMMANDS:
            return None
        topic, name = COMMANDS[cmd_name]
        command = getattr(import_module(f"libxlpy.cli.options.{topic}"), name)
        assert isinstance(command, click.Command)
        return command


def _version(ctx: click.Context, _param: click.Parameter, wanted: bool) -> None:
    if wanted and not ctx.resilient_parsing:
        from libxlpy_protocol.hello import PACKAGE

        click.echo(f"xlpy {PACKAGE}")
        ctx.exit()


@click.group(cls=Commands, context_settings=HELP)
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
