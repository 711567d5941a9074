"""Programs in the place of Xen's own libxl-save-helper."""

import sys
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
LIARS = Path(__file__).with_name("libxl_liars.py")
LIAR = """#!{python} -I
import runpy, sys
sys.argv.insert(1, {lie!r})
runpy.run_path({liars!r}, run_name="__main__")
"""


def program(path: Path, text: str) -> str:
    """Write a program; give it as libxlpy takes it."""
    path.write_text(text)
    path.chmod(0o755)
    return f"libxl:{path}"


def liar_program(path: Path, lie: str) -> str:
    """Write a program that tells one of the lies; give it as libxlpy takes it."""
    text = LIAR.format(python=sys.executable, lie=lie, liars=str(LIARS))
    return program(path, text)
