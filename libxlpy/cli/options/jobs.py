"""What is done about jobs, whichever process runs them or has died."""

from typing import Any

import click

from libxlpy.cli.options.types import JSON, Command, is_given
from libxlpy.cli.terminal.settings import Settings


@click.command(cls=Command)
@click.option(
    "--stop-and-copy",
    metavar="JOB",
    help="Suspend the guest of JOB, which is live, after the pass under way.",
)
@click.option(
    "--watch", is_flag=True, help="Show how far they are, until none is left."
)
@JSON
@click.pass_context
def jobs(ctx: click.Context, stop_and_copy: str | None, watch: bool, json: bool) -> int:
    """List the jobs of all processes on this machine.

    State is running, ended (saved; what is next is for its process to do) or lost (its
    process has ended and left it: use xlpy recover).
    """
    from libxlpy.cli.jobs import list_jobs, stop_and_copy_job

    settings: Settings = ctx.obj
    if watch and stop_and_copy is not None:
        raise click.UsageError("--watch is not for --stop-and-copy", ctx=ctx)
    if watch:
        from libxlpy.cli.watch import watch_jobs

        return watch_jobs(settings, json=json)
    if stop_and_copy is not None:
        return stop_and_copy_job(settings, stop_and_copy, json=json)
    return list_jobs(settings, json=json)


@click.command(cls=Command)
@click.argument("job", metavar="JOB")
@click.pass_obj
def abort(settings: Settings, job: str) -> int:
    """Abort JOB, whichever process runs it, and say what became of it."""
    from libxlpy.cli.jobs import abort_job

    return abort_job(settings, job)


@click.command(cls=Command)
@click.argument("job", metavar="JOB")
@click.pass_obj
def report(settings: Settings, job: str) -> int:
    """Print all that was known of JOB, which failed; the newest reports are kept."""
    from libxlpy.cli.jobs import print_job_report

    return print_job_report(settings, job)


@click.command(cls=Command)
@click.option("--dry-run", is_flag=True, help="Only say what would be done.")
@click.option(
    "--ask",
    metavar="HOST",
    help="Where the other end of open migrations is; the host that is noted is then "
    "not asked.",
)
@click.option(
    "-s",
    "command",
    default="ssh",
    show_default=True,
    metavar="SSHCMD",
    help="What reaches HOST.",
)
@JSON
@click.pass_context
def recover(ctx: click.Context, /, **options: Any) -> int:
    """Finish or roll back the jobs of processes that have died.

    Jobs that run are not touched. Fails if something could not be put right.

    A migration that was left open is settled if its other host answers, which is asked
    by the command that it was begun with, or that of --ask.
    """
    if options["ask"] == "":
        raise click.UsageError("--ask is empty: name the host", ctx=ctx)
    if options["ask"] is None and is_given(ctx, "command"):
        raise click.UsageError("-s is what reaches HOST: add --ask HOST", ctx=ctx)
    from libxlpy.cli.recover import RecoverOptions, recover_jobs

    return recover_jobs(ctx.obj, RecoverOptions(**options))
