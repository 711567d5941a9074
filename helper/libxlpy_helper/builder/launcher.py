"""A program file for libxlpy-save-helper, wherever the packages are.

libxl takes a path and nothing else; a console script may not be there, or name another
Python. So the program is a file in memory, for this process and its children.
"""

import os
import sys
from typing import Final

from libxlpy_helper.launch import folders

SCRIPT: Final = """#!{python} -IS
import sys
sys.path += {folders!r}
from libxlpy_helper.dropin.main import main
main({source})
"""


def save_helper_path(source: int) -> str:
    """Return the path by which this process's children can start it.

    Args:
        source: The stream that it reads, which they inherit.
    """
    script = SCRIPT.format(python=sys.executable, folders=folders(), source=source)
    fd = os.memfd_create("libxlpy-save-helper", 0)  # inherited, as the name is by fd
    os.write(fd, script.encode())
    return f"/proc/self/fd/{fd}"
