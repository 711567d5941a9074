"""What protects a domain by a copy on another host."""

from typing import Any

import click

from libxlpy.cli.options.moves import HOOKS
from libxlpy.cli.options.types import JSON, Command, is_given
from libxlpy.cli.terminal.settings import Settings

#: Milliseconds between two checkpoints: from 1 to an hour; by default as xl.
INTERVAL = click.IntRange(1, 3_600_000)


@click.command(cls=Command)
@click.option(
    "-i",
    "interval",
    type=INTERVAL,
    default=200,
    show_default=True,
    metavar="MS",
    help="How long it runs between two checkpoints.",
)
@click.option("-n", "no_network", is_flag=True, help="Let what it sends be seen. (-F)")
@click.option(
    "-d", "no_disks", is_flag=True, help="Have it though it writes to a disk. (-F)"
)
@click.option("-F", "unsafe", is_flag=True, help="Allow -n and -d, which are unsafe.")
@click.option("-u", "uncompressed", is_flag=True, help="Nothing is compressed anyway.")
@click.option("-e", "alone", is_flag=True, help="Have no process there look after it.")
@click.option(
    "-s",
    "command",
    default="ssh",
    show_default=True,
    metavar="SSHCMD",
    help="What reaches HOST.",
)
@click.option(
    "--unsafe-no-fence",
    is_flag=True,
    help="Have HOST take over though nobody proves that we are gone: it may run twice.",
)
@HOOKS
@click.option(
    "--switch-over", is_flag=True, help="Give DOM, which is protected, to its backup."
)
@JSON
@click.argument("domain", metavar="DOM")
@click.argument("target", metavar="HOST", required=False)
@click.pass_context
def remus(ctx: click.Context, /, **options: Any) -> int:
    """Protect a domain by a copy on HOST, as xl remus does; both need xlpy.

    What the domain sends leaves once HOST has what it was when it sent that. If this
    host dies, HOST asks its fence, /etc/libxlpy/fence, and the domain goes on there.

    It ends by Ctrl-C, or if anything fails: the domain then runs on here, unprotected.
    """
    del options["uncompressed"]  # an option of xl's
    switches = options.pop("switch_over")
    target = options["target"]
    for wrong, text in (
        (switches and target is not None, "--switch-over needs DOM alone"),
        (not switches and target is None, "Missing argument 'HOST'."),
        (target == "", "HOST is empty: name the host"),
        (not options["command"], "-s is empty: name what reaches HOST"),
        (
            not options["unsafe"] and (options["no_network"] or options["no_disks"]),
            "-n and -d are unsafe: add -F",
        ),
        (switches and is_given(ctx, "command"), "--switch-over reaches no host: no -s"),
    ):
        if wrong:
            raise click.UsageError(text, ctx=ctx)
    settings: Settings = ctx.obj
    from libxlpy.cli.remus import RemusOptions, protect_domain, switch_over

    if switches:
        return switch_over(settings, options["domain"], json=options["json"])
    return protect_domain(settings, RemusOptions(**options))
