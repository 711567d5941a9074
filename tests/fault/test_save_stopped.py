"""A toolstack is stopped between a save and what comes next; then it goes on."""

from pathlib import Path

import pytest

from tests.fault.deaths import TOOLSTACK, helpers_gone
from tests.fault.stopped import STOP, goes_on, started, wait_runs, wait_stopped
from tests.support.guest import Guest


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "image"


@pytest.mark.parametrize("then", ["resume", "destroy"])
@pytest.mark.parametrize("at", ["<ToolstackSave", "saved", "committed"])
def test_guest_runs_while_the_toolstack_is_stopped_and_stays(
    hvm: Guest, path: Path, at: str, then: str
):
    plan = {"host": str(hvm.host), "domid": hvm.domid, "path": str(path)}
    process = started(TOOLSTACK, {**plan, **STOP, "at": at, "then": then}, [])
    try:
        wait_stopped(process)
        wait_runs(hvm)
    finally:
        _, errors = goes_on(process)
    assert process.returncode == 1
    hvm.assert_untouched()
    text = "is not suspended: nothing to resume"
    if then == "destroy":
        text = "runs again since it was saved: it was not destroyed"
    if at not in ("saved", "committed"):
        text = "deadline 'parent_silent' of 1 s passed (guest running)"
    assert text in errors
    assert path.exists() is (at in ("saved", "committed"))
    helpers_gone()
    assert not (hvm.host / "jobs" / f"{hvm.domid}.json").exists()
    assert list(path.parent.glob("*.partial")) == []
