"""The table of who migrates what to whom shows what has a test, and nothing else."""

import subprocess
import sys
from pathlib import Path

from tests.xen.cells import (
    BEGIN,
    END,
    JOINED,
    OURS,
    UNSEEN,
    VERSIONS,
    XL,
    Cell,
    line_of,
    read_lines,
    read_table,
    table,
)

ROOT = Path(__file__).resolve().parents[2]
DOCUMENT = ROOT / "docs" / "migration.md"
HERE = Cell("PVH", XL, OURS)
THERE = Cell("PVH", XL, OURS, joined=True)


def test_table_is_of_the_tests_that_are_there():
    done = subprocess.run(
        [sys.executable, ROOT / "scripts" / "cells", "--check"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_table_names_versions_that_the_rig_has():
    shown = DOCUMENT.read_text().partition(BEGIN)[2].partition(END)[0]
    seen = read_table(shown)
    assert seen
    assert {each for versions in seen.values() for each in versions} <= set(VERSIONS)


def test_cell_has_the_versions_that_it_was_seen_on():
    made = table([HERE, THERE], {HERE: {"4.20", "4.17"}, THERE: {JOINED}})
    assert f"| PVH | 4.17, 4.20, {JOINED} | - | - |\n" in made
    assert read_table(made)[HERE] == {"4.17", "4.20"}
    assert read_table(made)[THERE] == {JOINED}


def test_cell_without_a_test_is_taken_out():
    seen = {HERE: {"4.17"}, Cell("HVM", OURS, OURS): {"4.17"}, THERE: {JOINED}}
    assert table([HERE], seen).splitlines()[2:] == ["| PVH | 4.17 | - | - |"]


def test_cell_that_was_not_seen_says_so():
    assert f"| PVH | {UNSEEN} | - | - |" in table([HERE], {})


def test_lines_of_a_run_are_read_again():
    lines = ["noise", line_of(THERE, passed=True), line_of(HERE, passed=False)]
    [there, here] = read_lines(lines)
    assert there == (THERE, JOINED, True)
    assert (here[0], here[2]) == (HERE, False)
