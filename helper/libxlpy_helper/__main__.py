"""The life of the helper process, in order of execution."""

from __future__ import annotations

import sys

from libxlpy_helper.begun import Begun
from libxlpy_helper.options import parse_options
from libxlpy_helper.startup import run_program

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final, NoReturn

    from libxlpy_helper.options import Options

PROGRAM: Final = "libxlpy-helper"


def main(argv: list[str]) -> NoReturn:
    """Start up, do the one job, end; never returns."""
    run_program(PROGRAM, lambda: _run(parse_options(argv)))


def _run(options: Options) -> NoReturn:
    begun = Begun(options)
    # What talks and works is loaded while the parent reads the hello.
    from libxlpy_helper.helper import Helper

    Helper(begun).run()


if __name__ == "__main__":
    main(sys.argv[1:])
