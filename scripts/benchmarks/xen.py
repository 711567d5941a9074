"""`xl` and `xlpy` in turn on real Xen, in the rig: tests/xen/played.py, as rows."""

import json
import subprocess
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

from measure import Row

ROOT = Path(__file__).resolve().parents[2]
TIMEOUT = 7000
LIST = "list"
#: Name of a row -> ratio that it must not exceed.
REQUIRED = {
    "list, next to xl's and two Pythons": 0.7,
    "migrate pvh: seconds": 1.0,
    "migrate pvh: downtime": 0.8,
    "migrate pvh with interface: seconds": 1.0,
    "migrate pvh with interface: downtime": 0.5,
    "migrate hvm: seconds": 1.0,
    "migrate hvm: downtime": 0.8,
    **{
        f"{what} {kind}: longer than xl, next to a Python": limit
        for what, limit in (("save -c", 1.5), ("restore -p", 2.5))
        for kind in ("pv", "pvh", "hvm")
    },
}
Samples = list[dict[str, Any]]


def play(suite: str, rounds: int, wanted: list[str]) -> list[Row]:
    """Boot the rig, play there, and give the rows."""
    rig = [ROOT / "scripts" / "xen-rig", "run", suite, "--timeout", str(TIMEOUT), "--"]
    command = [*rig, "python3", "-m", "tests.xen.played", str(rounds), *wanted]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as played:
        assert played.stdout is not None
        samples = [sample for line in played.stdout if (sample := _sample(line))]
    if played.returncode:
        sys.exit(f"bench: the rig ended with {played.returncode}")
    return rows_of(samples)


def _sample(line: str) -> dict[str, Any]:
    """Read a line, and show it: it takes half an hour."""
    print(line, end="", file=sys.stderr, flush=True)
    if line[:1] != "{":
        return {}
    sample: dict[str, Any] = json.loads(line)
    return sample


def rows_of(samples: Samples) -> list[Row]:
    """Give the rows: each round of ours next to that round of the other's."""
    played: dict[str, dict[str, Samples]] = {}
    for sample in samples:
        tools = played.setdefault(sample["what"], defaultdict(list))
        tools[sample["tool"]].append(sample)
    return [row for what, tools in played.items() for row in _rows(what, tools)]


def _rows(what: str, tools: dict[str, Samples]) -> list[Row]:
    seconds = Row(f"{what}: seconds", "s", less_is_better=True)
    downtime = Row(f"{what}: downtime", "s", less_is_better=True)
    cpu = Row(f"{what}: processor", "s", less_is_better=True)
    beyond = Row(_beyond(what), "s", less_is_better=True)
    every = (tools[tool] for tool in ("xlpy", "xl", "python"))
    for ours, xl, python in zip(*every, strict=True):
        seconds.add(ours["seconds"], xl["seconds"])
        cpu.add(ours["cpu"], xl["cpu"])
        if "downtime" in ours:
            downtime.add(ours["downtime"], xl["downtime"])
        if what == LIST:
            beyond.add(ours["seconds"], xl["seconds"] + 2 * python["seconds"])
        else:
            beyond.add(ours["seconds"] - xl["seconds"], python["seconds"])
    return [row for row in (seconds, downtime, cpu, beyond) if row.ours.values]


def _beyond(what: str) -> str:
    """Name the row in which it counts that Python has to start."""
    if what == LIST:
        return "list, next to xl's and two Pythons"
    return f"{what}: longer than xl, next to a Python"
