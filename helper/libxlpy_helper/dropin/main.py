"""libxlpy-save-helper: what libxl runs in place of its own libxl-save-helper.

``LIBXL_SAVE_HELPER=/path/to/libxlpy-save-helper xl save`` (or restore, or migrate):
libxl owns the records of its own around libxc's stream, this program the libxc stream.
This program runs as root with whatever environment and folder libxl's caller has. So
Python is as good as in its isolated mode, or the process is started over in it.
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import NoReturn


def main(*fds: int, claim_pages: int = 0) -> NoReturn:
    """Do what argv says and end the process; the entry point.

    Args:
        fds: Of the stream, and where epochs are acknowledged; see ``serve``. libxl
            knows nothing of them.
        claim_pages: See ``serve``.
    """
    if not sys.flags.isolated:
        _isolate()
    try:
        from libxlpy_helper.dropin.process import serve
        from libxlpy_helper.options import Options
    except ModuleNotFoundError as exc:
        sys.exit(f"libxlpy-save-helper: {exc}: install it in libxlpy's own folder")

    backend = Options(os.getppid(), "xen", host="", library="")
    serve(sys.argv[1:], backend, *fds, claim_pages=claim_pages)


def _isolate() -> None:
    """Have no say in what is imported: the environment, a user's folder, this folder.

    An interpreter takes as long to start as all that is loaded here. So one to which
    nobody has said anything is not started over: it only forgets the folder of its
    script, or the current one, which comes first.
    """
    site = sys.modules.get("site")
    steered = any(name.startswith("PYTHON") for name in os.environ)
    if steered or getattr(site, "USER_SITE", None) in sys.path:
        _start_over()
    if not sys.flags.safe_path:
        del sys.path[0]


def _start_over() -> NoReturn:
    """Run this file again, isolated; descriptors and signals stay as they are."""
    argv: Sequence[str] = [sys.executable, "-I", os.path.realpath(__file__)]
    try:
        os.execv(sys.executable, [*argv, *sys.argv[1:]])  # noqa: S606 - no shell is meant
    except OSError as exc:
        sys.exit(f"libxlpy-save-helper: {sys.executable}: {exc.strerror}")


if __name__ == "__main__":
    # Isolated, Python looks in its own folders only; this one may be elsewhere, and
    # goes last.
    sys.path.append(os.path.realpath(__file__).rsplit("/", 3)[0])
    main()
