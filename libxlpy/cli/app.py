"""Every command and option of `xlpy`, and nothing of what they do.

The modules that do the work are imported when a command runs, so that `--help` and
usage errors need no more than click.
"""

from pathlib import Path
from typing import Any

import click

from libxlpy.cli.terminal.settings import BackendName, Settings
from libxlpy_protocol.fields import brief

HELP = {"help_option_names": ["-h", "--help"]}
JSON = click.option("--json", is_flag=True, help="Print JSON for programs.")
PICTURES = (".svg", ".png")


class _File(click.Path):
    """A path; not what other programs take for stdin or stdout."""

    def __init__(self) -> None:
        super().__init__(path_type=Path)

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> Any:
        """Take a path, without a look at what is there: its disk may not answer."""
        if value == "-":
            text = "'-' is no file: say /dev/stdin or /dev/stdout, or ./- if it is one"
            self.fail(text, param, ctx)
        if not value:
            self.fail("the name of a file is missing", param, ctx)
        if value.endswith(("/", "/.")):  # which a Path would leave out
            self.fail(f"{value!r} names a folder; name a file in it", param, ctx)
        return Path(value)


FILE = _File()
#: Whole seconds of a deadline, up to 31 years.
SECONDS = click.IntRange(1, 10**9)
#: Digits of a number of pages a second.
RATE_DIGITS = 10


def _rate(ctx: click.Context, param: click.Parameter, value: str) -> int | None:
    """Take pages a second; None for "full", as fast as it goes."""
    if value == "full":
        return None
    if not (value.isascii() and value.isdecimal() and len(value) <= RATE_DIGITS):
        text = f"{brief(value)} is neither a whole number nor 'full'"
        raise click.BadParameter(text, ctx=ctx, param=param)
    return int(value)


def _helper(ctx: click.Context, param: click.Parameter, value: str) -> str:
    """Take a helper; whether there is such a program is looked at later."""
    if value in ("own", "libxl") or value.startswith("libxl:/"):
        return value
    text = f"{value!r} is none of 'own', 'libxl', 'libxl:/path'"
    raise click.BadParameter(text, ctx=ctx, param=param)


def _config_and_file(
    ctx: click.Context, param: click.Parameter, value: tuple[Path, ...]
) -> tuple[Path, ...]:
    """Take one path or two."""
    if not value:
        raise click.MissingParameter(ctx=ctx, param=param)
    if len(value) > 2:
        extra = " ".join(map(str, value[2:]))
        raise click.UsageError(f"Got unexpected extra argument ({extra})", ctx=ctx)
    return value


def _plot(
    ctx: click.Context, param: click.Parameter, value: Path | None
) -> Path | None:
    if value is not None and value.suffix.lower() not in PICTURES:
        text = f"{str(value)!r} ends in neither .svg nor .png"
        raise click.BadParameter(text, ctx=ctx, param=param)
    return value


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


@xlpy.command("list")
@click.argument("domains", nargs=-1, metavar="[DOM]...")
@JSON
@click.pass_obj
def list_command(settings: Settings, domains: tuple[str, ...], json: bool) -> int:
    """List domains: all of them, or those named.

    State is r(unning) b(locked) p(aused) s(hut down) c(rashed) d(ying), as in xl list.
    """
    from libxlpy.cli.list import list_domains

    return list_domains(settings, domains, json=json)


@xlpy.command()
@click.option("-c", "checkpoint", is_flag=True, help="Leave the domain running.")
@click.option("-p", "paused", is_flag=True, help="Leave the domain paused.")
@click.option("-D", "preserve_domid", is_flag=True, help="Store the domid, too.")
@click.option("--live", is_flag=True, help="Copy memory while the domain runs.")
@click.option(
    "--helper",
    default="own",
    callback=_helper,
    metavar="own|libxl[:PATH]",
    help="What runs libxenguest: libxlpy's helper, or Xen's libxl-save-helper.",
)
@click.option(
    "--timeout",
    type=SECONDS,
    metavar="S",
    help="Give up after S seconds; the domain runs on.",
)
@click.option(
    "--no-progress",
    type=SECONDS,
    metavar="S",
    help="Give up once nothing was written for S seconds (45 while it is suspended).",
)
@JSON
@click.argument("domain", metavar="DOM")
@click.argument("file", type=FILE, metavar="FILE")
@click.argument("config", type=FILE, metavar="[CONFIG]", required=False)
@click.pass_obj
def save(settings: Settings, /, **options: Any) -> int:
    """Save a domain to FILE, as xl save does; xl restore can read it.

    The domain is destroyed once FILE is complete, unless -c or -p is given. If anything
    fails, the domain goes on running and an older FILE stays as it was. CONFIG is
    stored in place of the domain's own configuration.
    """
    from libxlpy.cli.save import SaveOptions, save_domain

    return save_domain(settings, SaveOptions(**options))


@xlpy.command()
@click.option("-p", "paused", is_flag=True, help="Leave the domain paused.")
@click.option("-e", "alone", is_flag=True, help="Have no process look after it.")
@click.option("--name", metavar="NAME", help="Call the domain NAME.")
@JSON
@click.argument(
    "files",
    nargs=-1,
    type=FILE,
    metavar="[CONFIG] FILE",
    callback=_config_and_file,
)
@click.pass_obj
def restore(settings: Settings, /, files: tuple[Path, ...], **options: Any) -> int:
    """Make a domain from FILE and let it run.

    CONFIG, in libxl's JSON, is used in place of the configuration in FILE. On Xen a
    process looks after the domain, unless -e is given: it acts on on_reboot, on_crash
    and so on, as with xl.
    """
    from libxlpy.cli.restore import RestoreOptions, restore_domain

    *config, file = files
    named = RestoreOptions(file=file, config=config[0] if config else None, **options)
    return restore_domain(settings, named)


@xlpy.command()
@click.option(
    "-C", "config", type=FILE, metavar="CONFIG", help="Use CONFIG there instead."
)
@click.option(
    "-s",
    "command",
    default="ssh",
    show_default=True,
    metavar="SSHCMD",
    help="What reaches HOST; if empty, HOST is the whole command.",
)
@click.option("-e", "alone", is_flag=True, help="Have no process there look after it.")
@click.option("-p", "paused", is_flag=True, help="Leave the domain paused there.")
@click.option("-D", "preserve_domid", is_flag=True, help="Keep the domid.")
@click.option("--debug", is_flag=True, help="Have each page compared; for tests.")
@click.option("--live/--no-live", default=True, help="Copy memory while it runs.")
@click.option(
    "--timeout",
    type=SECONDS,
    metavar="S",
    help="Give up after S seconds; the domain runs on here.",
)
@click.option(
    "--no-progress",
    type=SECONDS,
    metavar="S",
    help="Give up once nothing was sent for S seconds (45 while it is suspended).",
)
@click.option("--resolve", is_flag=True, help="Settle a migration that was left open.")
@click.option(
    "--runs",
    type=click.Choice(["here", "there"]),
    help="Settle it without HOST: where it runs, as you have seen.",
)
@JSON
@click.argument("domain", metavar="DOM")
@click.argument("target", metavar="HOST", required=False)
@click.pass_context
def migrate(ctx: click.Context, /, **options: Any) -> int:
    """Move a domain to HOST, as xl migrate does; either end may be xl.

    The domain is destroyed here once it runs there. If anything fails before it may,
    it runs on here. HOST is reached by ssh, and needs xlpy or xl.

    If the connection is lost in the very moment in which the domain is given away,
    it is left suspended: --resolve asks both hosts, and lets it run where it is.
    """
    resolves, runs = options.pop("resolve"), options.pop("runs")
    settings: Settings = ctx.obj
    if resolves:
        from libxlpy.cli.resolve import ResolveOptions, resolve

        if (options["target"] is None) == (runs is None):
            text = "--resolve needs HOST to ask, or --runs here|there, and not both"
            raise click.UsageError(text, ctx=ctx)
        names = ("command", "domain", "target")
        wanted = {name: options[name] for name in names}
        return resolve(settings, ResolveOptions(**wanted, runs=runs))
    if runs is not None:
        raise click.UsageError("--runs is for --resolve", ctx=ctx)
    if options["target"] is None:
        raise click.UsageError("Missing argument 'HOST'.", ctx=ctx)
    from libxlpy.cli.migrate import MigrateOptions, migrate_domain

    return migrate_domain(settings, MigrateOptions(**options))


@xlpy.command("migrate-receive")
@click.option("-e", "alone", is_flag=True, help="Have no process look after it.")
@click.option("-d", "debug", is_flag=True, help="Print its configuration.")
@click.option("-p", "paused", is_flag=True, help="Leave the domain paused.")
@click.option("-F", "foreground", is_flag=True, hidden=True)
@click.pass_obj
def migrate_receive(settings: Settings, /, foreground: bool, **options: Any) -> int:
    """Receive a domain; what xlpy migrate and xl migrate start on the other host.

    The sender is at the other end of stdin and stdout.
    """
    from libxlpy.cli.receive import ReceiveOptions, receive_domain

    options["alone"] |= foreground  # as xl: nothing stays in the background
    return receive_domain(settings, ReceiveOptions(**options))


@xlpy.command()
@JSON
@click.argument("file", type=FILE, metavar="FILE")
@click.pass_obj
def verify(settings: Settings, file: Path, json: bool) -> int:
    """Check that FILE is a whole and sound save file, byte for byte of its format."""
    from libxlpy.cli.verify import verify_file

    return verify_file(settings, file, json=json)


@xlpy.command()
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


@xlpy.command()
@JSON
@click.pass_obj
def jobs(settings: Settings, json: bool) -> int:
    """List the jobs of all processes on this machine.

    State is running, ended (saved; what is next is for its process to do) or lost (its
    process has died: use xlpy recover).
    """
    from libxlpy.cli.jobs import list_jobs

    return list_jobs(settings, json=json)


@xlpy.command()
@click.argument("job", metavar="JOB")
@click.pass_obj
def abort(settings: Settings, job: str) -> int:
    """Abort JOB, whichever process runs it, and say what became of it."""
    from libxlpy.cli.jobs import abort_job

    return abort_job(settings, job)


@xlpy.command()
@click.argument("job", metavar="JOB")
@click.pass_obj
def report(settings: Settings, job: str) -> int:
    """Print all that was known of JOB, which failed; the newest reports are kept."""
    from libxlpy.cli.jobs import print_job_report

    return print_job_report(settings, job)


@xlpy.command()
@click.option("--dry-run", is_flag=True, help="Only say what would be done.")
@JSON
@click.pass_obj
def recover(settings: Settings, dry_run: bool, json: bool) -> int:
    """Finish or roll back the jobs of processes that have died.

    Jobs that run are not touched. Fails if something could not be put right.
    """
    from libxlpy.cli.jobs import recover_jobs

    return recover_jobs(settings, dry_run=dry_run, json=json)


@xlpy.group()
def sim() -> None:
    """The embedded host simxen: domains without Xen."""


@sim.command("start")
@click.pass_obj
def sim_start(settings: Settings) -> int:
    """Start a host and print its directory."""
    from libxlpy.cli.sim import start

    return start(settings)


@sim.command("stop")
@click.pass_obj
def sim_stop(settings: Settings) -> int:
    """Stop the host; its domains go with it."""
    from libxlpy.cli.sim import stop

    return stop(settings)


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
    type=click.IntRange(min=1),
    default=64,
    show_default=True,
    metavar="MIB",
    help="Memory in MiB.",
)
@click.option("--vcpus", type=click.IntRange(min=1), default=1, show_default=True)
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
    type=click.IntRange(min=0),
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
