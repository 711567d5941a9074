"""Runs `xlpy`, and writes what it has loaded into a folder, under the command's name.

In place of `python -m libxlpy.cli`: FOLDER --host DIR COMMAND ...
"""

import atexit
import os
import sys

bare = set(sys.modules)
folder = sys.argv.pop(1)
name = "stream" if "--stream" in sys.argv else sys.argv[3]
path = f"{folder}/{os.environ.get('LOADED_AS', name)}"


def tell() -> None:
    new = sorted(set(sys.modules) - bare)
    with open(path, "w") as file:  # noqa: PTH123 - pathlib would count
        file.write("\n".join(new))


atexit.register(tell)
from libxlpy.cli.main import main  # noqa: E402

sys.exit(main())
