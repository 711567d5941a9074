"""Names and options as they are typed; nothing is done yet."""

import click
import pytest
from click.testing import CliRunner

from libxlpy.cli import app
from libxlpy.cli.main import main
from libxlpy.cli.options import sim
from libxlpy.cli.terminal.output import Output
from libxlpy.cli.terminal.settings import Settings


def commands(group: click.Group, path: str = "xlpy") -> dict[str, click.Command]:
    found: dict[str, click.Command] = {path: group}
    ctx = click.Context(group)
    for name in group.list_commands(ctx):
        command = group.get_command(ctx, name)
        assert command is not None
        if isinstance(command, click.Group):
            found |= commands(command, f"{path} {name}")
        else:
            found[f"{path} {name}"] = command
    return found


COMMANDS = commands(app.xlpy)


@pytest.mark.parametrize("path", COMMANDS)
def test_every_command_explains_itself(path: str) -> None:
    for option in ("-h", "--help"):
        arguments = [*path.split()[1:], option]
        done = CliRunner().invoke(app.xlpy, arguments, obj=Settings(Output()))
        assert done.exit_code == 0
        assert done.output.startswith(f"Usage: {path}")
    assert COMMANDS[path].help


def test_the_commands_are_those_of_the_manual() -> None:
    assert set(COMMANDS) >= {
        "xlpy list",
        "xlpy save",
        "xlpy restore",
        "xlpy verify",
        *(f"xlpy sim {name}" for name in ("start", "stop", "create", "destroy")),
        *(f"xlpy sim {name}" for name in ("list", "verify")),
    }


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["save", "web"], "xlpy save: Missing argument 'FILE'."),
        (["save", "-x", "a", "b"], "xlpy save: No such option"),
        (["save", "a", "b", "c", "d"], "xlpy save: Got unexpected extra argument (d)"),
        (
            ["save", "--helper", "libxl:x", "a", "b"],
            "xlpy save: Invalid value for '--helper': 'libxl:x' is none of 'own'",
        ),
        (
            ["save", "--max-downtime", "9", "a", "b"],
            "xlpy save: --max-downtime is for a live copy: add --live",
        ),
        (
            ["migrate", "--no-live", "--abort_if_busy", "a", "b"],
            "xlpy migrate: --abort_if_busy is for a live copy: leave out --no-live",
        ),
        (
            ["migrate", "--on-timeout", "stop", "a", "b"],
            "xlpy migrate: --on-timeout needs --timeout",
        ),
        (
            ["migrate", "--max_iters", "0", "a", "b"],
            "xlpy migrate: Invalid value for '--max_iters': 0 is not in the range",
        ),
        (
            ["migrate", "--dry-run", "--report", "f.html", "a", "b"],
            "xlpy migrate: --report is of a migration: leave out --resolve and",
        ),
        (
            ["migrate", "--dry-run", "--resolve", "a", "b"],
            "xlpy migrate: --resolve changes what is there: leave out --dry-run",
        ),
        (
            ["migrate", "--dry-run", "--no-live", "a", "b"],
            "xlpy migrate: --dry-run is about a live copy: leave out --no-live",
        ),
        (
            ["migrate", "--dry-run", "--max-downtime", "9", "a", "b"],
            "xlpy migrate: --dry-run is about xl's own rule: leave out --max-downtime",
        ),
        (["migrate", "a", ""], "xlpy migrate: HOST is empty: name the host, or"),
        (
            ["migrate", "--rate", "9", "a", "b"],
            "xlpy migrate: --rate is for --dry-run",
        ),
        (
            ["migrate", "--dry-run", "--rate", f"{10**30}", "a", "b"],
            f"xlpy migrate: Invalid value for '--rate': {10**30} is not in the range 1",
        ),
        (["frob"], "xlpy: No such command 'frob'"),
        (
            ["recover", "-s", "ssh"],
            "xlpy recover: -s is what reaches HOST: add --ask HOST (see",
        ),
        (["recover", "--ask", ""], "xlpy recover: --ask is empty: name the host"),
        (
            ["migrate", "--resolve", "--runs", "here", "-s", "ssh", "a"],
            "xlpy migrate: -s is what reaches HOST, which --runs does without: leave",
        ),
        (["save", "web", "-"], "xlpy save: Invalid value for 'FILE': '-' is no file"),
        (["save", "web", ""], "xlpy save: Invalid value for 'FILE': the name of"),
        (["save", "web", "f", "-"], "xlpy save: Invalid value for '[CONFIG]': '-' is"),
        (["restore", "-"], "xlpy restore: Invalid value for '[CONFIG] FILE': '-' is"),
        (
            ["save", "web", "foo/"],
            "xlpy save: Invalid value for 'FILE': 'foo/' names a",
        ),
        (
            ["save", "web", "foo/."],
            "xlpy save: Invalid value for 'FILE': 'foo/.' names",
        ),
        (
            ["inspect", "--plot", "a.svg/", "b"],
            "xlpy inspect: Invalid value for '--plot': 'a.svg/' names a folder",
        ),
        (["verify", "-"], "xlpy verify: Invalid value for 'FILE': '-' is no file"),
        (["inspect", "-"], "xlpy inspect: Invalid value for 'FILE': '-' is no file"),
        (
            ["sim", "create", "x", "--rate", "9" * 5000],
            "xlpy sim create: Invalid value for '--rate': '999",
        ),
        (
            ["sim", "create", "x", "--memory", "9" * 5000],
            "xlpy sim create: Invalid value for '--memory': '999",
        ),
        (["--backend", "kvm", "list"], "xlpy: Invalid value for '--backend'"),
        (
            ["sim", "create", "x", "--rate", "1.5"],
            "xlpy sim create: Invalid value for '--rate': '1.5' is neither a whole",
        ),
    ],
)
def test_wrong_usage_is_one_line_and_status_2(
    capsys: pytest.CaptureFixture[str], arguments: list[str], error: str
) -> None:
    assert main(arguments) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith(error)
    assert printed.err.count("\n") == 1


WITH_VALUE = [
    (path, option)
    for path, command in COMMANDS.items()
    for each in command.params
    if isinstance(each, click.Option) and not each.is_flag and not each.count
    for option in each.opts
]


@pytest.mark.parametrize(("path", "option"), WITH_VALUE)
def test_option_without_its_value_names_the_command_that_has_help(
    capsys: pytest.CaptureFixture[str], path: str, option: str
) -> None:
    assert main([*path.split()[1:], option]) == 2
    line = capsys.readouterr().err
    assert line.startswith(f"{path}: Option '{option}' requires an argument.")
    assert line.endswith(f"(see `{path} --help`)\n")


def test_the_version_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("xlpy ")


def test_rates_are_numbers_or_full() -> None:
    @click.command()
    @click.option("--rate", callback=sim._rate, default="0")
    def command(rate: int | None) -> None:
        click.echo(repr(rate))

    for typed, taken in (("7", "7"), ("full", "None"), ("", None), ("-1", None)):
        done = CliRunner().invoke(command, ["--rate", typed])
        assert done.exit_code == (0 if taken else 2)
        assert taken is None or done.output == taken + "\n"
