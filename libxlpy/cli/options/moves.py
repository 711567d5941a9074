"""What moves a domain: to a file and back, or to another host."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from libxlpy.cli.options.types import FILE, JSON, SECONDS, Command, is_given
from libxlpy.cli.terminal.settings import Settings

if TYPE_CHECKING:
    from libxlpy.cli.precopy import PrecopyOptions

#: MiB a second of a network, up to a terabyte.
RATE = click.IntRange(1, 10**6)
RUN = "Run what is in DIR before and after it, instead of /etc/libxlpy/migrate.d."
HOOKS = click.option(
    "--hooks", type=click.Path(path_type=Path), metavar="DIR", help=RUN
)
FENCE = click.option(
    "--fence",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="With -r: ask FILE whether the primary is gone, not /etc/libxlpy/fence.",
)
NO_FENCE = click.option(
    "--unsafe-no-fence", is_flag=True, help="With -r: ask nobody; it may run twice."
)
REPORT = click.option(
    "--report",
    type=FILE,
    metavar="FILE.html",
    help="Write a page that tells how it went, also if it fails.",
)


def _helper(ctx: click.Context, param: click.Parameter, value: str) -> str:
    """Take a helper; whether there is such a program is looked at later."""
    if value in ("own", "libxl") or value.startswith("libxl:/"):
        return value
    text = f"{value!r} is none of 'own', 'libxl', 'libxl:/path'"
    raise click.BadParameter(text, ctx=ctx, param=param)


#: What a save and a migration have in common that are live, see `cli.precopy`.
MAX_DOWNTIME = click.option(
    "--max-downtime",
    type=click.IntRange(min=1),
    metavar="MS",
    help="Copy on, live, until it is expected to be down for no longer.",
)
ON_TIMEOUT = click.option(
    "--on-timeout",
    type=click.Choice(["cancel", "stop"]),
    default="cancel",
    show_default=True,
    help="With --timeout: give up, or suspend it then and copy the rest.",
)


def _precopy(
    ctx: click.Context, options: dict[str, Any], live: str
) -> "PrecopyOptions":
    """Take the options that say when a guest is suspended.

    Args:
        ctx: For errors.
        options: All of the command; those are taken out.
        live: How to have a live copy.
    """
    from libxlpy.cli.precopy import NAMES, PrecopyOptions

    empty = {"on_timeout": "cancel", "abort_if_busy": False}
    found = {name: options.pop(name, empty.get(name)) for name in NAMES}
    for name, value in found.items():
        if not options["live"] and value != empty.get(name):
            option = name.replace("_", "-") if name in NAMES[:2] else name
            raise click.UsageError(f"--{option} is for a live copy: {live}", ctx=ctx)
    if found["on_timeout"] != "cancel" and options["timeout"] is None:
        raise click.UsageError("--on-timeout needs --timeout", ctx=ctx)
    return PrecopyOptions(timeout=options.pop("timeout"), **found)


#: Options that say when a guest is suspended, with a value of their own.
POLICY = {
    "max_downtime": "--max-downtime",
    "timeout": "--timeout",
    "max_iters": "--max_iters",
    "min_remaining": "--min_remaining",
}


@click.command(cls=Command)
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
@MAX_DOWNTIME
@ON_TIMEOUT
@click.option(
    "--no-progress",
    type=SECONDS,
    metavar="S",
    help="Give up once nothing was written for S seconds (300; 45 while suspended).",
)
@REPORT
@JSON
@click.argument("domain", metavar="DOM")
@click.argument("file", type=FILE, metavar="FILE")
@click.argument("config", type=FILE, metavar="[CONFIG]", required=False)
@click.pass_context
def save(ctx: click.Context, /, **options: Any) -> int:
    """Save a domain to FILE, as xl save does; xl restore can read it.

    The domain is destroyed once FILE is complete, unless -c or -p is given. If anything
    fails, the domain goes on running and an older FILE stays as it was. CONFIG is
    stored in place of the domain's own configuration.
    """
    from libxlpy.cli.save import SaveOptions, save_domain

    precopy = _precopy(ctx, options, "add --live")
    return save_domain(ctx.obj, SaveOptions(precopy=precopy, **options))


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


@click.command(cls=Command)
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


@click.command(cls=Command)
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
@MAX_DOWNTIME
@ON_TIMEOUT
@click.option(
    "--max_iters",
    type=click.IntRange(min=1),
    metavar="N",
    help="Suspend it after N passes, by default 5 (as SUSE's xl).",
)
@click.option(
    "--min_remaining",
    type=click.IntRange(min=1),
    metavar="N",
    help="Suspend it once fewer than N pages are dirty, by default 50 (as SUSE's xl).",
)
@click.option(
    "--abort_if_busy",
    is_flag=True,
    help="Give up if more are dirty after all passes (as SUSE's xl).",
)
@click.option(
    "--no-progress",
    type=SECONDS,
    metavar="S",
    help="Give up once nothing was sent for S seconds (300; 45 while suspended).",
)
@click.option(
    "--dry-run", is_flag=True, help="Only ask, and tell what is to be expected."
)
@click.option(
    "--rate",
    type=RATE,
    metavar="MIB",
    help="MiB/s of the network, for --dry-run: 100 if not given.",
)
@HOOKS
@REPORT
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
    _check_together(ctx, options)
    resolves, runs = options.pop("resolve"), options.pop("runs")
    dry_run, rate = options.pop("dry_run"), options.pop("rate")
    settings: Settings = ctx.obj
    if resolves:
        from libxlpy.cli.resolve import ResolveOptions, resolve

        names = ("command", "domain", "target")
        asked = {name: options[name] for name in names}
        return resolve(settings, ResolveOptions(**asked, runs=runs))
    from libxlpy.cli.migrate import MigrateOptions, migrate_domain

    precopy = _precopy(ctx, options, "leave out --no-live")
    wanted = MigrateOptions(precopy=precopy, **options)
    if dry_run:
        from libxlpy.cli.forecast import forecast

        return forecast(settings, wanted, rate)
    return migrate_domain(settings, wanted)


def _check_together(ctx: click.Context, options: dict[str, Any]) -> None:
    """Refuse options of `xlpy migrate` of which one has no meaning for another."""
    resolves, dry_run = options["resolve"], options["dry_run"]
    policy = [word for name, word in POLICY.items() if options[name] is not None]
    runs, has_target = options["runs"] is not None, options["target"] is not None
    for wrong, text in (
        (resolves and dry_run, "--resolve changes what is there: leave out --dry-run"),
        (
            resolves and has_target is runs,
            "--resolve needs HOST to ask, or --runs here|there, and not both",
        ),
        (
            options["report"] is not None and (resolves or dry_run),
            "--report is of a migration: leave out --resolve and --dry-run",
        ),
        (runs and not resolves, "--runs is for --resolve"),
        (
            runs and is_given(ctx, "command"),
            "-s is what reaches HOST, which --runs does without: leave out -s",
        ),
        (not resolves and not has_target, "Missing argument 'HOST'."),
        (options["target"] == "", "HOST is empty: name the host, or the command"),
        (
            dry_run and not options["live"],
            "--dry-run is about a live copy: leave out --no-live",
        ),
        (options["rate"] is not None and not dry_run, "--rate is for --dry-run"),
        (
            dry_run and bool(policy),
            f"--dry-run is about xl's own rule: leave out {', '.join(policy)}",
        ),
    ):
        if wrong:
            raise click.UsageError(text, ctx=ctx)


@click.command("migrate-receive", cls=Command)
@click.option("-e", "alone", is_flag=True, help="Have no process look after it.")
@click.option("-d", "debug", is_flag=True, help="Print its configuration.")
@click.option("-p", "paused", is_flag=True, help="Leave the domain paused.")
@HOOKS
@click.option("-F", "foreground", is_flag=True, hidden=True)
@click.option("-r", "remus", is_flag=True, help="It is the backup of xlpy remus.")
@FENCE
@NO_FENCE
@click.option(
    "--control", is_flag=True, help="The sender is xlpy; its stream comes apart."
)
@click.option("--stream", metavar="NAME", help="It is the stream for that receiver.")
@click.pass_context
def migrate_receive(
    ctx: click.Context, /, foreground: bool, stream: str | None, **options: Any
) -> int:
    """Receive a domain; what xlpy migrate and xl migrate start on the other host.

    The sender is at the other end of stdin and stdout.
    """
    if stream is not None:
        from libxlpy.cli.stream import receive_stream

        return receive_stream(stream)
    _check_fence(ctx, options)
    from libxlpy.cli.receive import ReceiveOptions, receive_domain

    options["alone"] |= foreground  # as xl: nothing stays in the background
    return receive_domain(ctx.obj, ReceiveOptions(**options))


def _check_fence(ctx: click.Context, options: dict[str, Any]) -> None:
    """Refuse a backup that could not acknowledge, and a fence for nothing."""
    fence, none = options["fence"] is not None, options["unsafe_no_fence"]
    for wrong, text in (
        (
            options["remus"] and not options["control"],
            "-r is for xlpy remus, which says --control: xl remus is not understood",
        ),
        (not options["remus"] and (fence or none), "--fence is for a backup: add -r"),
        (fence and none, "--unsafe-no-fence asks none: leave out --fence"),
    ):
        if wrong:
            raise click.UsageError(text, ctx=ctx)
