"""The comparison with `xl` shows all that scripts/compare plays."""

from pathlib import Path

from tests.xen.compare import FAULTS, TOOLS, title

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "compared.md"


def test_table_has_every_fault_for_both_tools():
    rows = [line for line in DOCUMENT.read_text().splitlines() if line[:1] == "|"]
    cells = [[cell.strip() for cell in row.strip("|").split("|")] for row in rows[2:]]
    titles = [row[0] for row in cells if row[0]]
    assert titles == [title(fault) for fault in FAULTS]
    assert [row[1] for row in cells] == [f"`{tool}`" for tool in TOOLS] * len(FAULTS)
