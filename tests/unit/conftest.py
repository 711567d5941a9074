"""Jobs with a scripted helper, and what fails a test whose loop is blocked."""

from tests.support.scripted_jobs import (
    backend,
    nothing_blocks,
    start_job,
)

__all__ = ["backend", "nothing_blocks", "start_job"]
