"""Run a module of this package by the packages in the folders named, and no others.

``python -I -S .../launch.py FOLDER... -m MODULE [ARGUMENT]...``: isolated and without
its site folders, Python knows its own library only. The folders go behind that.
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Final

#: This package, and what it imports that is not Python's own.
PACKAGES: Final = ("libxlpy_helper", "libxlpy_protocol", "msgpack", "_cffi_backend")


def folders() -> list[str]:
    """Return where this process has its packages; for a process that it starts."""
    found = dict.fromkeys(_folder(name) for name in PACKAGES)
    return list(found)


def _folder(name: str) -> str:
    module = _module(name)
    path = str(module.__file__)
    above = 2 if hasattr(module, "__path__") else 1
    return path.rsplit("/", above)[0]


def python(module: str) -> list[str]:
    """Return what runs a module of this package; its arguments go behind."""
    return [sys.executable, "-I", "-S", __file__, *folders(), "-m", module]


def main() -> None:
    """Do what argv says; the entry point.

    As Python's own ``-m`` does, whose ``runpy`` takes as long as all of this package:
    the module's ``main`` gets the arguments.
    """
    at = sys.argv.index("-m")
    sys.path += sys.argv[1:at]
    sys.argv = sys.argv[at + 1 :]
    module = _module(sys.argv[0])
    if hasattr(module, "__path__"):  # a package is run by the module of that name in it
        module = _module(f"{sys.argv[0]}.__main__")
    module.main(sys.argv[1:])


def _module(name: str) -> Any:
    __import__(name)
    return sys.modules[name]


if __name__ == "__main__":
    main()
