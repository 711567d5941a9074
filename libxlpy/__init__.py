"""Save, restore and migrate Xen domains; each operation runs in a process of its own.

:class:`Context` is where to begin; ``errors`` has the tree of what can go wrong.
"""

from importlib import import_module


def __getattr__(name):
    """Give a public name; all are capitalised, what is not may be a submodule."""
    if name == "__all__" or name[:1].isupper():
        from libxlpy.api import MODULE_OF

        if name == "__all__":
            return sorted(MODULE_OF)
        if name in MODULE_OF:
            value = globals()[name] = getattr(import_module(MODULE_OF[name]), name)
            return value
    raise AttributeError(f"module 'libxlpy' has no attribute {name!r}")


def __dir__():
    """List the public names, too."""
    return sorted({*globals(), *__getattr__("__all__")})
