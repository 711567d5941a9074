"""`scripts/bench` works and says what it promises; how fast is not judged here."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
MAIN = ROOT / "scripts" / "benchmarks" / "main.py"
ROWS = {
    "save to /dev/null",
    "save to a pipe",
    "save to a tmpfs file",
    "restore from a save",
    "restore from a pipe",
    "restore from a tmpfs file",
    "one save to a pipe, next to memcpy",
    "helper start to hello",
    "callback round trip",
}


@pytest.mark.timeout(180)
def test_every_row_has_figures_and_ratios(tmp_path):
    report = tmp_path / "report.json"
    arguments = ["--memory", "8", "--rounds", "2", "--json", str(report)]
    done = subprocess.run(
        [sys.executable, str(MAIN), *arguments],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    rows = {row["name"]: row for row in json.loads(report.read_text())["rows"]}
    assert set(rows) == ROWS
    for name, row in rows.items():
        assert f"| {name} |" in done.stdout
        ratio = row["ratio"]
        assert 0 < ratio["min"] <= ratio["median"] <= ratio["max"], name
        assert len(row["ours"]["all"]) == 2


def test_wrong_option_is_refused():
    done = subprocess.run(
        [sys.executable, str(MAIN), "--rounds", "many"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "--rounds" in done.stderr
