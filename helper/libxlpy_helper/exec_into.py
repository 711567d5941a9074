"""Become another program, which then ends with the parent and not by a dead receiver.

``libxlpy_helper.exec_into --parent PID PROGRAM [ARGUMENT]...``: for Xen's own
libxl-save-helper. It knows neither of a parent's death nor of SIGPIPE; the kernel's
death signal and an ignored signal, as Python ignores that one, both outlive the exec.
"""

from __future__ import annotations

import os
import sys

from libxlpy_helper.exit_status import ExitStatus
from libxlpy_helper.harden import HardenError, harden

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Final, NoReturn

PROGRAM_AT: Final = 2  # after --parent PID


def main(argv: Sequence[str]) -> NoReturn:
    """Do it, or end the process with a reason on stderr."""
    if len(argv) <= PROGRAM_AT or argv[0] != "--parent" or not argv[1].isdecimal():
        _end("libxlpy starts this program, not you")
    program = list(argv[PROGRAM_AT:])
    try:
        harden(int(argv[1]))
        os.execv(program[0], program)  # noqa: S606 - no shell is meant
    except HardenError as exc:
        _end(str(exc))
    except OSError as exc:
        _end(f"{program[0]}: {exc.strerror}")


def _end(reason: str) -> NoReturn:
    sys.stderr.write(f"libxlpy-helper: {reason}\n")
    sys.stderr.flush()
    os._exit(ExitStatus.USAGE)


if __name__ == "__main__":
    main(sys.argv[1:])
