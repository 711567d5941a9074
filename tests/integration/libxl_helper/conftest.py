"""Helpers of the kind that libxl starts: our drop-in on a real host, and liars."""

import re
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path

import pytest

from libxlpy import Context
from tests.integration.parent.conftest import (
    QUICK,
    guest,
    host,
    hvm,
    nothing_blocks,
    pv,
)

__all__ = ["guest", "host", "hvm", "nothing_blocks", "pv"]

DEADLINES = replace(QUICK, message=1.0, abort_grace=1.0, term_grace=1.0)
LIARS = Path(__file__).with_name("liars.py")
DROP_IN = """#!{python} -I
import os, sys
from libxlpy_helper.dropin import process as compat_process
from libxlpy_helper.options import Options
compat_process.XENSTORE_SOCKETS = ({host!r} + "/xenstored.sock",)
compat_process.QMP_SOCKET = {host!r} + "/qmp-libxl-{{}}"
compat_process.serve(sys.argv[1:], Options(os.getppid(), "simxen", {host!r}, ""))
"""
LIAR = """#!{python} -I
import runpy, sys
sys.argv.insert(1, {lie!r})
runpy.run_path({liars!r}, run_name="__main__")
"""


def program(path: Path, text: str) -> str:
    """Write a program; give it as libxlpy takes it."""
    path.write_text(text)
    path.chmod(0o755)
    return f"libxl:{path}"


@pytest.fixture
def drop_in(host: Path, tmp_path: Path) -> str:
    """Xen's own helper as far as this machine has one: libxlpy-save-helper."""
    text = DROP_IN.format(python=sys.executable, host=str(host))
    return program(tmp_path / "libxl-save-helper", text)


@pytest.fixture(scope="session")
def liars(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Make a helper of each liar, before any loop runs."""
    folder = tmp_path_factory.mktemp("liars")
    made = {}
    for lie in re.findall(r"^def (\w+)\(\) -> None:", LIARS.read_text(), re.MULTILINE):
        text = LIAR.format(python=sys.executable, lie=lie, liars=str(LIARS))
        made[lie] = program(folder / lie, text)
    return made


@pytest.fixture
def liar(liars: dict[str, str]) -> Callable[[str], str]:
    """Give a function that gives a liar by name."""
    return liars.__getitem__


@pytest.fixture
def not_runnable(tmp_path: Path) -> str:
    """A program whose interpreter is not there."""
    return program(tmp_path / "helper", "#!/nowhere/interpreter\n")


@pytest.fixture
async def ctx(host: Path, nothing_blocks: None) -> AsyncIterator[Context]:
    """Enter a context on the host."""
    async with Context("simxen", host, DEADLINES) as context:
        yield context
