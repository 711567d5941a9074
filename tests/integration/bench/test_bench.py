"""`scripts/bench` works and says what it promises; how fast is not judged here.

CI's machines do other work, too, and a ratio of neighbours taken there is noise, the
more the smaller the guest: `scripts/bench --gate` is for a quiet machine, before a
release.
"""

import importlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.xen.played import KINDS, MOVED

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
    "helper start to its first answer",
    "callback round trip",
    "the same, next to one processor",
    "worst lag of the loop",
}
MIGRATED = {
    "live migration of an idle guest",
    "sent of one that writes a tenth a pass, next to its memory",
}


@pytest.mark.timeout(180)
@pytest.mark.parametrize(
    ("options", "expected"), [([], ROWS), (["--migrate"], MIGRATED)]
)
def test_every_row_has_figures_and_ratios(tmp_path, options, expected):
    report = tmp_path / "report.json"
    arguments = ["--memory", "8", "--rounds", "2", "--json", str(report)]
    done = subprocess.run(
        [sys.executable, str(MAIN), *options, *arguments],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    rows = {row["name"]: row for row in json.loads(report.read_text())["rows"]}
    assert set(rows) == expected
    for name, row in rows.items():
        assert f"| {name} |" in done.stdout
        ratio = row["ratio"]
        assert 0 < ratio["min"] <= ratio["median"] <= ratio["max"], name
        assert len(row["ours"]["all"]) == 2


def test_gate_is_the_median_of_the_ratios(monkeypatch):
    monkeypatch.syspath_prepend(str(MAIN.parent))
    main, measure = importlib.import_module("main"), importlib.import_module("measure")
    fast = measure.Row("save to a pipe", "MB/s")
    quick = measure.Row("live migration of an idle guest", "s", less_is_better=True)
    for much, little in ((1.0, 100.0), (100.0, 1.0), (100.0, 1.0)):
        fast.add(much, 10.0)
        quick.add(little, 10.0)
    assert main.too_slow([fast, quick]) == []
    for _ in range(2):
        fast.add(1.0, 10.0)
        quick.add(100.0, 10.0)
    assert main.too_slow([fast, quick]) == [
        f"{fast.name}: 0.10 instead of 1.4",
        f"{quick.name}: 10.00 instead of 1.25",
    ]


def test_what_is_played_on_xen_becomes_rows(monkeypatch):
    monkeypatch.syspath_prepend(str(MAIN.parent))
    xen = importlib.import_module("xen")
    names = [
        "list",
        *MOVED,
        *(f"{w} {k}" for w in ("save -c", "restore -p") for k in KINDS),
    ]
    took = {"xl": 2.0, "xlpy": 3.0, "python": 0.5}
    samples = [
        {"what": what, "tool": tool, "seconds": seconds, "cpu": seconds}
        | ({"downtime": seconds / 2} if what in MOVED else {})
        for _ in range(2)
        for what in names
        for tool, seconds in took.items()
    ]
    rows = {row.name: row for row in xen.rows_of(samples)}
    assert rows.keys() >= xen.REQUIRED.keys()
    assert rows["list, next to xl's and two Pythons"].ratio.values == [1.0, 1.0]
    assert rows["migrate pvh: downtime"].ratio.median == 1.5
    longer = rows["save -c pv: longer than xl, next to a Python"]
    assert (longer.ours.median, longer.ratio.median) == (1.0, 2.0)


def test_wrong_option_is_refused():
    done = subprocess.run(
        [sys.executable, str(MAIN), "--rounds", "many"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "--rounds" in done.stderr
