"""What each command loads, to the module: what it uses, and nothing else.

``loaded.txt`` has a line for each module of ours, and each package of others besides
``import asyncio, click, msgpack, cffi``, with the commands that load it. A line that is
new there is paid for at each start; see "Start of a command" in docs/performance.md. To
have it written anew:

    LOADED=write ./scripts/test tests/integration/cli/test_loaded.py
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from tests.support.shell import PATIENCE, Shell, environment

HERE = Path(__file__).parent
TABLE = HERE / "loaded.txt"
#: What each command needs in any case.
REFERENCE = ("asyncio", "click", "msgpack", "cffi")
COMMANDS = (
    *("list", "save", "save-live", "save-hvm", "restore", "migrate", "migrate-receive"),
    *("stream", "verify", "inspect", "jobs", "recover", "sim"),
)
OURS = ("libxlpy", "libxlpy_protocol")
SSH = """#!/bin/sh
shift
PATH={folder}:$PATH exec sh -c "$*"
"""


class Telling(Shell):
    """Commands that tell what they load."""

    def __init__(self, host: Path, folder: Path) -> None:
        super().__init__(host)
        self.folder = folder

    def command(self, *arguments: object) -> list[str]:
        xlpy = [sys.executable, str(HERE / "telling_loaded.py"), str(self.folder)]
        return [*xlpy, "--host", str(self.host), *map(str, arguments)]


@pytest.fixture(scope="module")
def loaded(
    shell: Shell, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, frozenset[str]]:
    """Give what each command has loaded."""
    folder = tmp_path_factory.mktemp("loaded")
    xlpy = Telling(shell.host, folder)
    with shell.guest("web"):
        _run_here(xlpy, tmp_path_factory.mktemp("files") / "web.save")
        _migrate(xlpy, tmp_path_factory.mktemp("there"))
    with shell.guest("hvm", type="hvm"), pytest.MonkeyPatch.context() as patch:
        patch.setenv("LOADED_AS", "save-hvm")
        xlpy.good("save", "-c", "hvm", folder.parent / "hvm.save")
    found = {name: frozenset((folder / name).read_text().split()) for name in COMMANDS}
    if os.environ.get("LOADED") == "write":
        TABLE.write_text("".join(_lines(found)))
    return found


def _run_here(xlpy: Telling, file: Path) -> None:
    for arguments in (
        ("list",),
        ("save", "-c", "web", file),
        *(("verify", file), ("inspect", file)),
        ("restore", "--name", "other", file),
        *(("jobs",), ("recover",), ("sim", "list")),
    ):
        xlpy.good(*arguments)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LOADED_AS", "save-live")
        xlpy.good("save", "-c", "--live", "web", file)


def _migrate(xlpy: Telling, folder: Path) -> None:
    """Move a guest to where it is, by a new name."""
    there = xlpy.command()
    for name, text in {
        "ssh": SSH.format(folder=folder),
        "xlpy": f'#!/bin/sh\nexec {" ".join(there)} "$@"\n',
    }.items():
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    xlpy.good("migrate", "-s", folder / "ssh", "web", "target")


def _lines(found: dict[str, frozenset[str]]) -> Iterator[str]:
    names = {name: _ours(all_of) | _others(all_of) for name, all_of in found.items()}
    for module in sorted(frozenset().union(*names.values())):
        users = [name for name in COMMANDS if module in names[name]]
        yield f"{module}: {'all' if len(users) == len(COMMANDS) else ' '.join(users)}\n"


def _ours(names: frozenset[str]) -> frozenset[str]:
    return frozenset(name for name in names if name.split(".")[0] in OURS)


def _others(names: frozenset[str]) -> frozenset[str]:
    """Give the packages, but for what is inner to some and for the reference's."""
    packages = {name.split(".")[0] for name in names - brought()}
    inner = {name for name in packages if name.startswith("_")}
    return frozenset(packages - inner - brought() - set(OURS))


@cache
def brought(*packages: str) -> frozenset[str]:
    """Give what the reference loads, and packages besides; it depends on the Python."""
    code = "import sys; print(*sys.modules)"
    text = f"import {', '.join((*REFERENCE, *packages))}; {code}"
    run = subprocess.run(
        [sys.executable, "-c", text],
        capture_output=True,
        text=True,
        check=True,
        timeout=PATIENCE,
        env=environment(),
    )
    return frozenset(run.stdout.split())


@pytest.mark.timeout(4 * PATIENCE)
@pytest.mark.parametrize("command", COMMANDS)
def test_command_loads_what_it_uses(
    loaded: dict[str, frozenset[str]], command: str
) -> None:
    rows = dict(line.split(": ") for line in TABLE.read_text().splitlines())
    listed = frozenset(
        name for name, users in rows.items() if {"all", command} & {*users.split()}
    )
    assert _ours(loaded[command]) == _ours(listed)
    others = sorted(listed - _ours(listed))
    assert _others(loaded[command]) <= brought(*others)
