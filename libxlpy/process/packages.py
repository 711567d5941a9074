"""Where a helper's packages are: where this process has its own, and nowhere else.

A helper runs as root, so Python looks in none of its usual folders for it, nor at the
environment: it is told the folders of the few packages that it is made of. This process
may have them from a place that an isolated Python does not know: ``pip install --user``
or ``--target``, PYTHONPATH, a checkout.
"""

import sys
from functools import cache
from importlib.machinery import PathFinder
from pathlib import Path

from libxlpy.errors import BackendError

#: Of it, and what it imports that is not Python's own; its own folder goes first.
HELPER_PACKAGES = ("libxlpy_helper", "libxlpy_protocol", "msgpack", "_cffi_backend")
#: In the helper's package: takes the folders and runs a module.
LAUNCH = "launch.py"
#: The folder that libxlpy itself is in.
OWN_FOLDER = Path(__file__).absolute().parents[2]


def helper_python(module: str) -> list[str]:
    """Give what runs a module of the helper's package; its arguments go behind.

    Raises:
        BackendError: A package is missing.
    """
    folders = [folder_of(name) for name in HELPER_PACKAGES]
    launch = folders[0] / HELPER_PACKAGES[0] / LAUNCH
    told = [str(folder) for folder in dict.fromkeys(folders)]
    return [sys.executable, "-I", "-S", str(launch), *told, "-m", module]


@cache
def folder_of(package: str) -> Path:
    """Give the folder that a package is imported from; beside libxlpy goes first.

    The current folder, which sys.path may name by "", is not looked at: it may be
    another one than when libxlpy was imported.

    Raises:
        BackendError: It is nowhere.
    """
    absolute = [entry for entry in sys.path if Path(entry).is_absolute()]
    spec = PathFinder.find_spec(package, [str(OWN_FOLDER), *absolute])
    if spec is None or spec.origin is None:
        text = f"package {package} is missing: install libxlpy again, with its needs"
        raise BackendError(text)
    path = Path(spec.origin)
    return path.parents[1] if spec.submodule_search_locations else path.parent
