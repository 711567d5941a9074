"""Save, restore and migrate Xen domains; each operation runs in a process of its own.

:class:`Context` is where to begin; ``errors`` has the tree of what can go wrong.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from libxlpy.api import *  # noqa: F403 - the same names
    from libxlpy.api import __all__ as __all__
else:
    # Loaded when the first name is asked for: the modules of `libxlpy.cli` lie behind
    # this one, and `xlpy` has to take signals before it loads all this.

    def __getattr__(name):
        """Give a public name; all are capitalised, what is not may be a submodule."""
        if name == "__all__" or name[:1].isupper():
            api = import_module("libxlpy.api")
            if name == "__all__" or name in api.__all__:
                return getattr(api, name)
        raise AttributeError(f"module 'libxlpy' has no attribute {name!r}")

    def __dir__():
        """List the public names, too."""
        return sorted({*globals(), *import_module("libxlpy.api").__all__})
