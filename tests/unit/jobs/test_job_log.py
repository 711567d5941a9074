"""What goes to logging: one line a record, nothing that a terminal would obey."""

import logging
from types import SimpleNamespace
from typing import Any, cast

import pytest

from libxlpy.events import LogEvent
from libxlpy.jobs.watchers import JobLog

HOSTILE = "a\nforged \x1b]0;title\x07"


def test_texts_of_a_helper_are_written_out(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "libxlpy")
    job = SimpleNamespace(
        name="7-1", domid=7, phase="", what="save", error=OSError(HOSTILE)
    )
    JobLog().event(cast(Any, job), LogEvent(1, -1, HOSTILE, HOSTILE))
    JobLog().undone(cast(Any, job))
    written = "a forged \\x1b]0;title\\x07"
    assert [record.getMessage() for record in caplog.records] == [
        f"{written}: {written}",
        f"save is undone: {written}",
    ]
