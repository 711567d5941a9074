"""Jobs with a scripted helper, what fails a test whose loop blocks, foreign folders."""

from tests.support.other_user import theirs
from tests.support.scripted_jobs import (
    backend,
    nothing_blocks,
    start_job,
)

__all__ = ["backend", "nothing_blocks", "start_job", "theirs"]
