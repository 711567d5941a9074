"""Helpers of the kind that libxl starts: our drop-in on a real host, and liars."""

import re
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from libxlpy import Context
from tests.support.libxl_helpers import DROP_IN, LIARS, liar_program, program
from tests.support.real_host import QUICK

DEADLINES = QUICK.replace(message=1.0, abort_grace=1.0, term_grace=1.0)


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
        made[lie] = liar_program(folder / lie, lie)
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
