"""What a process lets others know of its job: read whole, or not at all."""

import json
import os
import subprocess
import sys

import pytest

from libxlpy.journal import Folder
from libxlpy.journal.life import Life, lives, told
from libxlpy.journal.told import SIZE, decode, encode
from libxlpy.results.figures import JobFigures
from libxlpy.results.statistics import Iteration, Statistics
from tests.unit.journal.entries import entry

FIGURES = JobFigures(iteration=3, transferred=1 << 40, dirty_pages=7, mbps=12.5)
LOOK = (
    "import sys; from pathlib import Path\n"
    "from libxlpy.journal.life import lives, told\n"
    "path = Path(sys.argv[1]); print(lives(path), told(path).decode())"
)


def seen_from_outside(path):
    command = [sys.executable, "-c", LOOK, str(path)]
    return subprocess.run(command, capture_output=True, check=True, text=True).stdout


def test_figures_are_those_of_the_statistics():
    history = (Iteration(0, 9, 7, 1.0), Iteration(1, 7, None, 1.0))
    taken = JobFigures.of(Statistics(iteration=1, history=history, remaining=4096))
    assert (taken.iteration, taken.dirty_pages, taken.remaining) == (1, 7, 4096)


def test_figures_come_back_as_they_were():
    assert decode(encode(FIGURES)) == FIGURES
    assert len(encode(JobFigures())) == len(encode(FIGURES)) == SIZE
    huge = JobFigures(transferred=(1 << 63) - 1, mbps=1e-300, expected_downtime=1e18)
    assert len(encode(huge)) == SIZE


@pytest.mark.parametrize(
    "change",
    [
        {"iteration": None},
        {"iteration": 1.5},
        {"iteration": True},
        {"transferred": -1},
        {"mbps": "fast"},
        {"mbps": 1 << 70},
        {"more": 1},
    ],
)
def test_what_is_no_figure_is_not_taken(change):
    assert decode(json.dumps({**vars(FIGURES), **change}).encode()) is None


@pytest.mark.parametrize("data", [b"", b"{", b"[]", encode(FIGURES)[:90], b"\xff"])
def test_what_is_not_whole_is_not_taken(data):
    assert decode(data) is None


def test_others_read_it_and_we_live_on_having_looked_at_our_own(tmp_path):
    path = tmp_path / "7.life"
    life = Life(path)
    assert told(path) == b""
    for data in (b"a longer text", b"short".ljust(13)):
        life.tell(data)
        assert told(path) == data
        assert seen_from_outside(path) == f"True {data.decode()}\n"
    life.close()
    life.tell(b"late")
    assert not lives(path)
    assert told(path) == b"short".ljust(13)  # of a process that has died


def test_child_that_was_forked_tells_nothing(tmp_path):
    path = tmp_path / "7.life"
    life = Life(path)
    life.tell(b"ours")
    if not (child := os.fork()):
        life.tell(b"theirs")
        os._exit(0)
    os.waitpid(child, 0)
    assert seen_from_outside(path) == "True ours\n"
    life.close()


def test_folder_has_no_figures_of_what_it_can_t_read(tmp_path):
    folder = Folder(tmp_path / "jobs")
    folder.make()
    assert folder.figures(entry()) is None
    (folder.path / "7.life").symlink_to("/dev/zero")
    assert folder.figures(entry()) is None
