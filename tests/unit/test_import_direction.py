"""Helper and parent both import the protocol package, and never each other.

The privileged helper must not run the toolstack's code, nor pay for asyncio at start.
"""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FORBIDDEN = {
    "protocol/libxlpy_protocol": {
        "libxlpy", "libxlpy_helper", "asyncio", "cffi", "psutil", "socket",
        "subprocess", "select", "selectors", "threading", "os", "click", "rich",
    },
    "helper/libxlpy_helper": {
        "libxlpy", "asyncio", "psutil", "qemu", "click", "rich", "subprocess",
        "pickle", "multiprocessing",
    },
    "libxlpy": {"libxlpy_helper", "cffi", "pickle", "multiprocessing"},
}  # fmt: skip


def imported(path: Path) -> set[str]:
    """Give the top-level names of all modules that a file imports, wherever."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            found.add(str(node.module).split(".")[0])
    return found


@pytest.mark.parametrize("package", FORBIDDEN)
def test_package_imports_only_what_it_may(package):
    files = list((ROOT / package).rglob("*.py"))
    assert files, f"no sources below {package}"
    wrong = {
        str(path.relative_to(ROOT)): sorted(imported(path) & FORBIDDEN[package])
        for path in files
        if imported(path) & FORBIDDEN[package]
    }
    assert wrong == {}
