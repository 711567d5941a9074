"""What the options of several commands have in common."""

from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

JSON = click.option("--json", is_flag=True, help="Print JSON for programs.")


def is_given(ctx: click.Context, name: str) -> bool:
    """Tell whether an option was typed, also with its default."""
    return ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE


class Command(click.Command):
    """A command whose usage errors all say which command they are of."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Take what was typed; click leaves an option without its value nameless."""
        try:
            return super().parse_args(ctx, args)
        except click.UsageError as exc:
            exc.ctx = exc.ctx or ctx
            raise


class Group(click.Group):
    """A group of such commands."""

    command_class: type[click.Command] | None = Command


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
#: MiB of memory, up to a petabyte; or how many there are of something.
MANY = click.IntRange(1, 10**9)
