"""Debian's real libxenguest, as far as it goes without a hypervisor."""

import os
import subprocess

import pytest

from tests.integration.helper.functions import FUNCTIONS
from tests.support.helper_driver import Parent
from tests.support.xen_packages import SUITES, xen_of

XEN = ["--backend", "xen"]


@pytest.mark.timeout(300)
def test_real_library_is_found_loaded_and_opened() -> None:
    """Up to the first hypercall: this machine is no dom0."""
    lib = xen_of("bookworm").lib
    with Parent(XEN, env={**os.environ, "LD_LIBRARY_PATH": str(lib)}) as parent:
        assert parent.wait() == 4
        assert parent.read_stderr() == (
            "libxlpy-helper: xc_interface_open: No such file or directory "
            "(Could not obtain handle on privileged command interface)\n"
        )


@pytest.mark.timeout(300)
@pytest.mark.parametrize("suite", SUITES)
def test_real_libraries_export_every_function(suite: str) -> None:
    xen = xen_of(suite)
    exported = set()
    for name in ("libxenguest", "libxenctrl"):
        path = xen.lib / f"{name}.so.{xen.version}"
        argv = ["readelf", "--dyn-syms", "--wide", str(path)]
        lines = subprocess.run(argv, check=True, capture_output=True, text=True).stdout
        words = [line.split() for line in lines.splitlines()]
        exported |= {line[7].split("@")[0] for line in words if len(line) > 7}
    assert set(FUNCTIONS) <= exported
