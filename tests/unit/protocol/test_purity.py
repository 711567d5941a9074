"""The package does no I/O: it imports nothing that could."""

import ast
from pathlib import Path

import pytest

import libxlpy_protocol

FOLDER = Path(libxlpy_protocol.__file__).parent
FILES = sorted(FOLDER.rglob("*.py"))
PURE = {
    "abc",
    "collections",
    "enum",
    "errno",
    "re",
    "struct",
    "types",
    "typing",
}
#: What one module alone needs.
MORE = {
    "codec.py": {"msgpack"},
    "json_text.py": {"json", "math"},
    "fields.py": {"reprlib"},
}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(FOLDER)))
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
    allowed |= MORE.get(path.name, set())
    assert found <= allowed


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(FOLDER)))
def test_module_is_not_long(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 500


def test_package_is_typed() -> None:
    assert (FOLDER / "py.typed").exists()
