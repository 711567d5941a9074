"""The core of tests/xen, which CI runs on each Xen, has a test of each kind."""

import ast
from pathlib import Path

XEN = Path(__file__).resolve().parents[2] / "xen"

#: What a marker says that its test shows: `pytest.mark.core("PV")`.
FACTS = {
    # saved by us and restored by xl, and the other way round
    "PV",
    "PVH",
    "HVM",
    # a save and a restore by xl with our helper
    "drop-in",
    # a stream that is cut, by whatever way it comes
    "END",
    # what goes wrong in a save, and the guest runs
    "helper killed",
    "helper stopped",
    "parent killed",
    "disk full",
    "device model dead",
    # a restore
    "disk and interface",
    # live, the real xl at the other end
    "migration to xl",
    "migration from xl",
    # live, over a network
    "to another host",
}


def test_core_shows_each_fact_once() -> None:
    shown = [
        ast.literal_eval(fact)
        for file in XEN.glob("test_*.py")
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "pytest.mark.core"
        for fact in node.args
    ]
    assert sorted(shown) == sorted(FACTS)
