"""What docs/architecture.md and CONTRIBUTING.md name exists; each room is told."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ARCHITECTURE = ROOT / "docs" / "architecture.md"
CONTRIBUTING = ROOT / "CONTRIBUTING.md"
DOCUMENTS = [ARCHITECTURE, CONTRIBUTING]
PACKAGES = ["libxlpy", "helper/libxlpy_helper", "protocol/libxlpy_protocol"]

ROOM = re.compile(r"^\| `([^`]+/|libxlpy/\w+\.py)` \| (.*) \|$", re.MULTILINE)
FENCED = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
#: Where a paragraph, an item of a list or a row of a table begins.
BLOCK = re.compile(r"\n\n|\n(?=\d+\. |- |\|)")
QUOTED = re.compile(r"(?<!`)`([^`]+)`(?!`)")
PATH = re.compile(r"[\w.-]+/[\w./-]*")
CALL = re.compile(r"(?:(\w+)\.)?(\w+)\(\)")
CLASS = re.compile(r"[A-Z][a-z]\w+")


def quoted(block: str, kind: re.Pattern[str]) -> list[str]:
    """Give what stands between backticks and is of one kind."""
    return [text for text in QUOTED.findall(block) if kind.fullmatch(text)]


def blocks(document: Path) -> list[str]:
    return BLOCK.split(FENCED.sub("", document.read_text()))


def rooms() -> dict[str, str]:
    """Give the first line of the docstring of each package, and of each single file."""
    found = {}
    for package in PACKAGES:
        for init in (ROOT / package).rglob("__init__.py"):
            found[f"{init.parent.relative_to(ROOT)}/"] = init
    for path in (ROOT / "libxlpy").glob("*.py"):
        found[str(path.relative_to(ROOT))] = path
    del found["libxlpy/__init__.py"]  # the package is a room by its folder
    texts = {room: path.read_text() for room, path in found.items()}
    docs = {room: ast.get_docstring(ast.parse(text)) for room, text in texts.items()}
    return {room: (doc or "").split("\n")[0] for room, doc in docs.items()}


@cache
def names(path: Path) -> tuple[frozenset[str], frozenset[str]]:
    """Give the classes of a file; and its functions, methods with their class, too."""
    classes, functions = set(), set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            functions.add(node.name)
        elif isinstance(node, ast.ClassDef):
            classes.add(node.name)
            functions |= {
                f"{node.name}.{inner.name}"
                for inner in node.body
                if isinstance(inner, ast.FunctionDef | ast.AsyncFunctionDef)
            }
    return frozenset(classes), frozenset(functions)


def test_rooms_are_all_listed_in_the_words_of_their_docstrings():
    listed = ROOM.findall(ARCHITECTURE.read_text())
    assert len(listed) == len(dict(listed)), "a room stands there twice"
    assert dict(listed) == rooms()


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.stem)
def test_files_named_exist(document):
    named = [path for block in blocks(document) for path in quoted(block, PATH)]
    assert named
    assert [path for path in named if not (ROOT / path).exists()] == []


def test_functions_named_are_in_a_file_that_is_named_beside_them():
    lost = []
    for block in blocks(ARCHITECTURE):
        files = [ROOT / name for name in quoted(block, PATH) if name.endswith(".py")]
        known = {name for file in files for name in names(file)[1]}
        lost += [
            call for call in quoted(block, CALL) if call.removesuffix("()") not in known
        ]
    assert lost == []


def test_classes_named_exist():
    known = {
        name
        for package in PACKAGES
        for path in (ROOT / package).rglob("*.py")
        for name in names(path)[0]
    }
    named = {name for block in blocks(ARCHITECTURE) for name in quoted(block, CLASS)}
    assert named
    assert named - known == set()


@pytest.mark.parametrize("story", ["A save", "An abort"])
def test_stories_have_ten_steps(story):
    text = ARCHITECTURE.read_text()
    section = text.split(f"## {story}, in ten steps\n")[1].split("\n## ")[0]
    steps = re.findall(r"^(\d+)\. ", section, re.MULTILINE)
    assert steps == [str(number) for number in range(1, 11)]


def test_options_of_the_test_script_are_told_where_one_contributes():
    header = (ROOT / "scripts/test").read_text().split("\nset -eu")[0]
    options = set(re.findall(r"scripts/test (--[\w-]+)", header))
    assert options
    told = set(re.findall(r"scripts/test (--[\w-]+)", CONTRIBUTING.read_text()))
    assert told == options
