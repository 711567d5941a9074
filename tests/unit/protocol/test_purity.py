"""The package does no I/O: it imports nothing that could."""

import ast
from pathlib import Path

import pytest

import libxlpy_protocol

FILES = sorted(Path(libxlpy_protocol.__file__).parent.glob("*.py"))
PURE = {
    "abc",
    "collections",
    "enum",
    "errno",
    "struct",
    "types",
    "typing",
}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_module_imports_only_what_is_pure(path: Path) -> None:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0
            assert node.module is not None
            found.add(node.module.partition(".")[0])
    allowed = PURE | {"libxlpy_protocol", "__future__"}
    if path.name == "codec.py":
        allowed |= {"msgpack"}
    assert found <= allowed


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_module_is_short(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 300


def test_package_is_typed() -> None:
    assert (FILES[0].parent / "py.typed").exists()


def test_every_public_name_is_there() -> None:
    for name in libxlpy_protocol.__all__:
        assert hasattr(libxlpy_protocol, name)
