"""Imports inside libxlpy go one way: a room may use what stands in its row, no more.

Types count, too: an import under TYPE_CHECKING is an import. In all packages no module
imports, by whatever way round, one that imports it.
"""

import ast
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCES = ROOT / "libxlpy"
#: Package -> the folder that it is in.
PACKAGES = {"libxlpy": "", "libxlpy_helper": "helper", "libxlpy_protocol": "protocol"}

WORDS = {
    *("aio", "backend", "callbacks", "deadlines"),
    *("errors", "events", "forked", "results"),
}
#: Room -> the rooms that it may import; the protocol is for all.
MAY_USE: dict[str, set[str]] = {
    "aio": {"errors"},
    "forked": {"errors"},
    "events": set(),
    "folders": {"errors"},
    "later": {"errors"},
    "save_file": {"aio", "errors", "folders", "forked"},
    "streams": set(),
    "results": set(),
    "errors": {"results"},
    "backend": {"errors", "folders"},
    "callbacks": {"errors"},
    "deadlines": {"errors"},
    "xenstore": {"errors", "forked"},
    "journal": {"aio", "errors", "forked", "results"},
    "process": WORDS,
    "simxen": {"aio", "backend", "errors", "folders", "journal"},
    "domain": WORDS | {"folders", "later", "process", "simxen", "xenstore"},
    "recovery": WORDS
    | {"domain", "folders", "journal", "later", "process", "save_file", "streams"},
    "policies": {"callbacks", "errors", "results"},
    "jobs": WORDS
    | {"domain", "journal", "later", "policies", "process", "recovery", "streams"},
    "operations": WORDS | {"domain", "jobs", "later", "policies", "process", "streams"},
    "migration": WORDS
    | {"domain", "folders", "jobs", "operations", "policies", "process", "recovery"}
    | {"streams"},
    "remus": WORDS | {"domain", "jobs", "migration", "operations", "process"},
    "telemetry": {"errors", "events", "jobs"},
    "context": WORDS
    | {"domain", "jobs", "journal", "later", "migration", "operations", "policies"}
    | {"process", "recovery", "remus"},
    "api": set(),
    "__init__": {"api"},
    "libxl": WORDS | {"context", "domain", "jobs", "operations", "remus"},
    "supervision": {"context", "errors", "events", "jobs", "recovery"},
    "cli": {
        "__init__",
        "aio",
        "errors",
        "events",
        "folders",
        "later",
        "migration",  # what hands a stream in loads nothing else
        "policies",
        "save_file",
        "simxen",
        "streams",
    },
    "examples": {"__init__", "save_file", "streams", "supervision"},
}
#: Rooms, and floors of them: what the design allows.
ROOMS_MOST, FLOORS_MOST = 35, 14
#: Files that the folder of the package shows beside its rooms.
FILES_MOST = 12


def room_of(path: Path) -> str:
    parts = path.relative_to(SOURCES).parts
    return parts[0] if len(parts) > 1 else path.stem


def used(path: Path) -> set[str]:
    """Give the rooms that a file imports."""
    found = set()
    for module, names in imports(path):
        if module == "libxlpy":
            found |= {name if name in MAY_USE else "__init__" for name in names}
        elif module.startswith("libxlpy."):
            found.add(module.split(".")[1])
    return found


def imports(path: Path) -> Iterator[tuple[str, set[str]]]:
    """Give the modules that a file imports, with the names it takes from each."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            yield node.module, {alias.name for alias in node.names}
        elif isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, set()


@pytest.mark.parametrize("room", sorted({room_of(p) for p in SOURCES.rglob("*.py")}))
def test_room_uses_only_what_stands_below_it(room: str):
    assert room in MAY_USE, "a new room needs a row"
    wrong = {
        str(path.relative_to(SOURCES)): sorted(used(path) - MAY_USE[room] - {room})
        for path in SOURCES.rglob("*.py")
        if room_of(path) == room and used(path) - MAY_USE[room] - {room}
    }
    assert wrong == {}


def test_rows_are_in_one_order_and_not_too_high():
    floors: dict[str, int] = {}
    for room in TopologicalSorter(MAY_USE).static_order():
        floors[room] = 1 + max((floors[below] for below in MAY_USE[room]), default=0)
    assert max(floors.values()) <= FLOORS_MOST
    assert len(floors) <= ROOMS_MOST


def test_folder_shows_few_files_beside_its_rooms():
    assert len(list(SOURCES.glob("*.py"))) <= FILES_MOST


def modules(package: str) -> dict[str, Path]:
    """Give the modules of a package by name."""
    folder = ROOT / PACKAGES[package]
    return {
        ".".join(path.relative_to(folder).with_suffix("").parts).removesuffix(
            ".__init__"
        ): path
        for path in (folder / package).rglob("*.py")
    }


@pytest.mark.parametrize("package", PACKAGES)
def test_no_module_imports_itself_by_others(package: str):
    known = modules(package)

    def taken(path: Path) -> set[str]:
        found = set()
        for module, names in imports(path):
            below = {f"{module}.{name}" for name in names}
            found |= below & known.keys()
            if not names or below - known.keys():
                found.add(module)  # not for its modules only
        return found & known.keys() - {package}

    graph = {name: taken(path) - {name} for name, path in known.items()}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as exc:
        pytest.fail(" <- ".join(exc.args[1]))
