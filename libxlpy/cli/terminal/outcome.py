"""How a command ends: an exit status, and one line on stderr if it failed.

Exit statuses are `xl`'s: 0 good, 1 failed, 2 wrong usage; 128 + n after signal n.
"""

from libxlpy.errors import reason_of

GOOD, FAILED, USAGE = 0, 1, 2


class CommandFailed(Exception):  # noqa: N818 - says what happened
    """A command failed and says so in one line."""


def os_error_text(exc: OSError) -> str:
    """Give what a system call failed at, without Python's numbers."""
    where = f"{exc.filename}: " if exc.filename else ""
    return f"{where}{reason_of(exc)}"
