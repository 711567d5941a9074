"""The package itself: its version, its names, its modules."""

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import libxlpy
from libxlpy_protocol.hello import PACKAGE

ROOT = Path(__file__).resolve().parents[3]


def test_version_in_the_hello_is_that_of_the_package():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["version"] == PACKAGE


def test_import_leaves_nothing_behind():
    assert {*libxlpy.__all__} <= {*dir(libxlpy)}


def test_public_names_are_capitalised():
    """So that ``from libxlpy import a_module`` need not load them all to find out."""
    assert [name for name in libxlpy.__all__ if not name[0].isupper()] == []


@pytest.mark.parametrize(
    "first", ["libxl", "context", "errors", "save_file", "streams.xl"]
)
def test_any_module_may_be_the_first_that_is_imported(first: str):
    argv = [sys.executable, "-c", f"import libxlpy.{first}"]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
