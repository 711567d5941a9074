"""Programs in the place of Xen's own libxl-save-helper."""

from pathlib import Path

#: Our drop-in, on a simxen host.
DROP_IN = """#!{python} -I
import os, sys
from libxlpy_helper.dropin import process as compat_process
from libxlpy_helper.options import Options
compat_process.XENSTORE_SOCKETS = ({host!r} + "/xenstored.sock",)
compat_process.QMP_SOCKET = {host!r} + "/qmp-libxl-{{}}"
compat_process.serve(sys.argv[1:], Options(os.getppid(), "simxen", {host!r}, ""))
"""


def program(path: Path, text: str) -> str:
    """Write a program; give it as libxlpy takes it."""
    path.write_text(text)
    path.chmod(0o755)
    return f"libxl:{path}"
