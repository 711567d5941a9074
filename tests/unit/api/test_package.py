"""The package itself: its version, its names, its modules."""

import ast
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import libxlpy
from libxlpy.api import MODULE_OF
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


def test_type_checkers_see_the_same_names():
    tree = ast.parse((ROOT / "libxlpy/__init__.pyi").read_text())
    froms = [node for node in tree.body if isinstance(node, ast.ImportFrom)]
    seen = {alias.name: node.module for node in froms for alias in node.names}
    assert seen == dict(MODULE_OF)
    for name in MODULE_OF:
        assert hasattr(libxlpy, name)


@pytest.mark.parametrize(
    "first", ["libxl", "context", "errors", "save_file", "streams.xl"]
)
def test_any_module_may_be_the_first_that_is_imported(first: str):
    argv = [sys.executable, "-c", f"import libxlpy.{first}"]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
