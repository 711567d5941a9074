"""Hatchling's hook: compile the helper's C before each wheel, editable ones included.

The wheel is tagged ``cp311-abi3`` for this machine: the binding uses the stable ABI and
opens the Xen libraries at run time, so one wheel serves Python 3.11 and later and every
supported Xen.
"""

from __future__ import annotations

import importlib.util
import sysconfig
from pathlib import Path
from types import ModuleType
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class CustomBuildHook(BuildHookInterface):
    """Adds the binding, libsimxen.so and simxen-guest to the wheel."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile into helper/libxlpy_helper/ and name the files, which git ignores.

        Raises:
            SystemExit: The C could not be compiled; one line says why.
        """
        if self.target_name != "wheel":
            return
        builder = _load(Path(self.root) / "helper" / "build_xenguest.py")
        try:
            made = builder.build()
        except builder.BuildError as error:
            raise SystemExit(str(error)) from None
        for path in made:
            build_data["artifacts"].append(f"/helper/libxlpy_helper/{path.name}")
        platform = sysconfig.get_platform().replace("-", "_").replace(".", "_")
        build_data["pure_python"] = False
        build_data["tag"] = f"cp311-abi3-{platform}"


def _load(path: Path) -> ModuleType:
    """Import a file that is in no package."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
