"""Modules that are loaded when something of them is used: one pays for what one does.

if TYPE_CHECKING:
    from libxlpy.operations import raw, save
else:
    raw, save = later("libxlpy.operations", "raw", "save")
"""

from importlib import import_module
from types import ModuleType
from typing import Any

from libxlpy.errors import BackendError, reason_of


class Later:
    """Stands for a module."""

    def __init__(self, module: str) -> None:
        """Take its whole name."""
        self._module = module

    def __getattr__(self, name: str) -> Any:
        """Give what the module has by that name.

        Raises:
            BackendError: The module can't be loaded: no descriptor is left.
        """
        try:
            return getattr(import_module(self._module), name)
        except OSError as exc:
            text = f"can't load {self._module}: {reason_of(exc)}"
            raise BackendError(text) from exc


def later(package: str, *modules: str) -> list[Later]:
    """Give what stands for some modules of a package."""
    return [Later(f"{package}.{name}") for name in modules]


def load(module: ModuleType) -> str:
    """Have a module loaded from here on, for when descriptors may lack; give its name.

    Raises:
        BackendError: It can't be loaded.
    """
    return module.__name__
