"""Run a module of this package by the packages in the folders named, and no others.

``python -I -S .../launch.py FOLDER... -m MODULE [ARGUMENT]...``: isolated and without
its site folders, Python knows its own library only. The folders go behind that.
"""

from __future__ import annotations

import sys
from importlib import import_module

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

#: This package, and what it imports that is not Python's own.
PACKAGES: Final = ("libxlpy_helper", "libxlpy_protocol", "msgpack", "_cffi_backend")


def folders() -> list[str]:
    """Return where this process has its packages; for a process that it starts."""
    found = dict.fromkeys(_folder(name) for name in PACKAGES)
    return list(found)


def _folder(name: str) -> str:
    module = import_module(name)
    path = str(module.__file__)
    above = 2 if hasattr(module, "__path__") else 1
    return path.rsplit("/", above)[0]


def python(module: str) -> list[str]:
    """Return what runs a module of this package; its arguments go behind."""
    return [sys.executable, "-I", "-S", __file__, *folders(), "-m", module]


def main() -> None:
    """Do what argv says; the entry point."""
    from runpy import run_module

    at = sys.argv.index("-m")
    sys.path += sys.argv[1:at]
    sys.argv = sys.argv[at + 1 :]
    run_module(sys.argv[0], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
