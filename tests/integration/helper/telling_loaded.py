"""Writes into the host's folder what a program of ours has loaded, and runs it.

In place of ``launch.py`` or ``on_fake.py``, with their arguments. At the first write to
a pipe (a helper's hello) into ``loaded-first``, at the end into ``loaded``.
"""

import os
import sys

bare = set(sys.modules)
here = sys.argv[0].rpartition("/")[0]
host = sys.argv[sys.argv.index("--host") + 1] if "--host" in sys.argv else sys.argv[1]
write, leave = os.write, os._exit


def tell(name: str) -> None:
    with open(f"{host}/{name}", "w") as file:  # noqa: PTH123 - pathlib would count
        file.write("\n".join(sorted(set(sys.modules) - bare)))


def first_write(fd: int, data: bytes) -> int:
    os.write = write
    tell("loaded-first")
    return write(fd, data)


def end(status: int) -> None:
    tell("loaded")
    leave(status)


os.write = first_write
os._exit = end  # type: ignore[assignment]

if "-m" in sys.argv:
    folder = sys.argv[1]
    path = f"{folder}/libxlpy_helper/launch.py"
else:
    path = f"{here}/dropin/on_fake.py"
with open(path) as file:  # noqa: PTH123
    code = compile(file.read(), path, "exec")
exec(code, {"__name__": "__main__", "__file__": path})
