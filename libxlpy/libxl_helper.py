"""Which program runs ``xc_domain_save``: our helper, or Xen's libxl-save-helper.

The caller says it, nothing else does; least of all the environment, as the program runs
as root.
"""

import os
import stat
from pathlib import Path

from libxlpy.backend import Backend
from libxlpy.errors import NotSupported, UsageError
from libxlpy_protocol.libxl.table import NEWEST

#: Choice of our own helper.
OWN = "own"
#: Choice of Xen's, alone or followed by ``:`` and its path.
LIBXL = "libxl"
#: Version of the running Xen, in two files.
XEN_VERSION = Path("/sys/hypervisor/version")
PROGRAM = "/usr/lib/xen-{}/bin/libxl-save-helper"
HOW = "name it: helper='libxl:/path/to/libxl-save-helper'"


def find_helper(choice: str, backend: Backend) -> Path | None:
    """Give the program that a choice stands for; None for our own helper.

    Args:
        choice: ``"own"``, ``"libxl"`` (the one of the running Xen), ``"libxl:/path"``.
        backend: Where the domain is.

    Raises:
        UsageError: It is no such choice, or there is no such program.
        NotSupported: The running Xen is older than 4.14, or there is none.
    """
    name, colon, path = choice.partition(":")
    if choice == OWN:
        return None
    if name != LIBXL or (colon and not path.startswith("/")):
        raise UsageError(f"helper {choice!r:.80} is not own, libxl or libxl:/path")
    return _checked(Path(path or _of_running_xen(backend)))


def _of_running_xen(backend: Backend) -> str:
    """Give the path where the running Xen's tools are."""
    if backend.kind != "xen":
        raise NotSupported(f"the embedded host has no libxl-save-helper; {HOW}")
    try:
        major, minor = (
            int((XEN_VERSION / part).read_text()) for part in ("major", "minor")
        )
    except (OSError, ValueError) as exc:
        raise NotSupported(f"the running Xen's version is unknown; {HOW}") from exc
    if (major, minor) < (4, NEWEST.first):
        text = f"libxl-save-helper of Xen {major}.{minor}: 4.{NEWEST.first} is needed"
        raise NotSupported(text)
    return PROGRAM.format(f"{major}.{minor}")


def _checked(path: Path) -> Path:
    try:
        is_file = stat.S_ISREG(path.stat().st_mode)
    except OSError as exc:
        raise UsageError(f"helper {path}: {exc.strerror}; {HOW}") from exc
    if not is_file or not os.access(path, os.X_OK):
        raise UsageError(f"helper {path} is no program")
    return path
