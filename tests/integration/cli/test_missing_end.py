"""`xlpy restore` of what lacks its END, by each way in; a good one by each way, too."""

import contextlib
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.shell import Shell

#: Bytes that are missing: of both ENDs, which a PV image has one behind the other.
CUTS = range(1, 17)


@pytest.fixture(scope="module")
def image(shell: Shell, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("end") / "image"
    with shell.guest("small", type="pv", memory_mib=4):
        shell.good("save", "small", path)
    return path


@contextlib.contextmanager
def by_name(path: Path) -> Iterator[tuple[Path | str, dict[str, Any]]]:
    yield path, {}


@contextlib.contextmanager
def by_stdin(path: Path) -> Iterator[tuple[Path | str, dict[str, Any]]]:
    with path.open("rb") as file:
        yield "/dev/stdin", {"stdin": file}


@contextlib.contextmanager
def by_pipe(path: Path) -> Iterator[tuple[Path | str, dict[str, Any]]]:
    with subprocess.Popen(["cat", str(path)], stdout=subprocess.PIPE) as feeder:
        yield "/dev/stdin", {"stdin": feeder.stdout}
        assert feeder.stdout is not None
        feeder.stdout.close()


WAYS: dict[str, Callable[..., Any]] = {
    "name": by_name,
    "stdin": by_stdin,
    "pipe": by_pipe,
}


@pytest.mark.parametrize("way", WAYS)
def test_nothing_is_left_of_it(
    shell: Shell, image: Path, tmp_path: Path, way: str
) -> None:
    data, cut = image.read_bytes(), tmp_path / "cut"
    for missing in CUTS:
        cut.write_bytes(data[:-missing])
        with WAYS[way](cut) as (name, options):
            line = shell.bad("restore", name, **options)
        assert f"restore from {name} failed: " in line, missing
        assert line.endswith("no domain is left of it")
        if way != "pipe":
            assert "record at offset" in line
            assert "the stream ends" in line
        assert shell.domains() == []


@pytest.mark.parametrize("way", WAYS)
def test_whole_one_is_restored(shell: Shell, image: Path, way: str) -> None:
    with WAYS[way](image) as (name, options):
        done = shell.run("restore", "-p", name, **options)
    assert done.returncode == 0, done.stderr
    [facts] = shell.domains()
    assert facts["name"] == "small"
    shell.good("sim", "destroy", "small")
