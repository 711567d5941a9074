"""However a job ends, its command ends with one line and a status of xl's."""

import pytest

from libxlpy.cli import command
from libxlpy.cli.terminal.outcome import FAILED
from libxlpy.cli.terminal.signals import Interrupted, Signals
from libxlpy.errors import JobError
from tests.support.outcomes import OUTCOMES

ERRORS: list[JobError] = [*OUTCOMES, JobError("a defect")]


def told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], end: Exception
) -> tuple[int, list[str]]:
    """Give status and lines of a command that ends so."""

    def fails(*_: object) -> int:
        raise end

    monkeypatch.setattr(command, "_run", fails)
    status = command.run_command(["save", "web", "file"], Signals())
    return status, capsys.readouterr().err.splitlines()


def test_every_kind_of_outcome_is_here():
    assert {type(each) for each in ERRORS} == {JobError, *JobError.__subclasses__()}


@pytest.mark.parametrize("error", ERRORS, ids=map(str, range(len(ERRORS))))
def test_failed_job_is_status_1_and_its_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: JobError
):
    assert told(monkeypatch, capsys, error) == (FAILED, [f"xlpy: {error}"])


def test_job_that_a_signal_cancelled_is_128_and_the_signal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    end = Interrupted(15, "save cancelled; guest is running")
    assert told(monkeypatch, capsys, end) == (143, [f"xlpy: {end}"])
