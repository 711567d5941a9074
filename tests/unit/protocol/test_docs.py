"""docs/protocol.md says what the tables say."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

from libxlpy.deadlines import DEFAULT_DEADLINES
from libxlpy_protocol.messages import SaveLibxc
from libxlpy_protocol.states import TRANSITIONS
from libxlpy_protocol.table import CALLS, MESSAGES

ROOT = Path(__file__).resolve().parents[3]
COMMAND = "scripts/protocol_table.py"


@pytest.fixture
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("protocol_table", ROOT / COMMAND)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    path = list(sys.path)
    spec.loader.exec_module(module)
    sys.path[:] = path
    return module


def test_page_is_up_to_date(script: ModuleType) -> None:
    assert (ROOT / "docs" / "protocol.md").read_text() == script.page(), (
        f"run {COMMAND}"
    )


def test_page_has_every_message_and_state(script: ModuleType) -> None:
    page = script.page()
    for kind, rule in MESSAGES.items():
        assert f"| {rule.number} | `{kind.__name__}` |" in page
    for state in TRANSITIONS:
        assert state.name in page


def test_page_has_the_deadlines_that_a_job_keeps(script: ModuleType) -> None:
    rows = [line.split(" | ") for line in script.page().splitlines()]
    said = {row[1].strip("`"): row[-2] for row in rows if len(row) == 12}
    for call in CALLS:
        seconds = DEFAULT_DEADLINES.of_call(call)
        none = call is SaveLibxc
        assert said[call.__name__] == ("" if none else f"{seconds:g} s")


def test_check_fails_on_drift_and_names_the_cure(
    script: ModuleType,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    page = tmp_path / "docs" / "protocol.md"
    monkeypatch.setattr(script, "PAGE", page)

    def run(*arguments: str) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", [COMMAND, *arguments])
        return script.main(), capsys.readouterr().err

    complaint = f"docs/protocol.md is out of date: run {COMMAND} and commit it\n"
    assert run("--check") == (1, complaint)
    assert run() == (0, "")
    assert run("--check") == (0, "")
    page.write_text(page.read_text().replace("`Suspend`", "`Suspended`", 1))
    assert run("--check") == (1, complaint)
