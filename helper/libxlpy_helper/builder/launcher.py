"""A program file for libxlpy-save-helper, wherever this package is installed.

libxl takes a path and nothing else; a console script may not be there, or name another
Python. So the program is a file in memory, for this process and its children.
"""

import os
import sys
from pathlib import Path
from typing import Final

SCRIPT: Final = """#!{python} -I
import sys
sys.path.append({folder!r})
from libxlpy_helper.dropin.main import main
main()
"""


def save_helper_path() -> str:
    """Return the path by which this process's children can start it."""
    folder = str(Path(__file__).resolve().parents[2])
    script = SCRIPT.format(python=sys.executable, folder=folder)
    fd = os.memfd_create("libxlpy-save-helper", 0)  # inherited, as the name is by fd
    os.write(fd, script.encode())
    return f"/proc/self/fd/{fd}"
