"""libxlpy-save-helper: what libxl runs in place of its own libxl-save-helper.

``LIBXL_SAVE_HELPER=/path/to/libxlpy-save-helper xl save`` (or restore, or migrate):
libxl owns the records of its own around libxc's stream, this program the libxc stream.
The process is started over in Python's isolated mode first, if it isn't in it: this
program runs as root with whatever environment and folder libxl's caller has.
"""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from collections.abc import Sequence


def main(*more: int) -> NoReturn:
    """Do what argv says and end the process; the entry point.

    Args:
        more: The stream's descriptor, and what is to be claimed; see ``serve``. libxl
            knows nothing of them.
    """
    if not sys.flags.isolated:
        _start_over()
    try:
        from libxlpy_helper.dropin.process import serve
        from libxlpy_helper.options import Options
    except ModuleNotFoundError as exc:
        sys.exit(f"libxlpy-save-helper: {exc}: install it in libxlpy's own folder")

    serve(sys.argv[1:], Options(os.getppid(), "xen", host="", library=""), *more)


def _start_over() -> NoReturn:
    """Run this file again, isolated; descriptors and signals stay as they are."""
    argv: Sequence[str] = [sys.executable, "-I", str(Path(__file__).resolve())]
    try:
        os.execv(sys.executable, [*argv, *sys.argv[1:]])  # noqa: S606 - no shell is meant
    except OSError as exc:
        sys.exit(f"libxlpy-save-helper: {sys.executable}: {exc.strerror}")


if __name__ == "__main__":
    # Isolated, Python looks in its own folders only; this one may be elsewhere, and
    # goes last.
    sys.path.append(str(Path(__file__).resolve().parents[2]))
    main()
