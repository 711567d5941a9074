"""A libxenguest that is too old: one line that names the range, through xlpy."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.shell import (
    PATIENCE,
    environment,
    failure_line,
    private_mounts,
)

#: xlpy in what looks like a dom0; the helper looks for its library as it always does.
DOM0 = """
import socket, sys
from pathlib import Path
import libxlpy.backend, libxlpy.cli.main
folder = Path(sys.argv.pop(1))
(folder / "capabilities").write_text("control_d\\n")
xenstored = socket.socket(socket.AF_UNIX)
xenstored.bind(str(folder / "xenstored"))
libxlpy.backend.XEN_CAPABILITIES = folder / "capabilities"
libxlpy.backend.XENSTORE_SOCKETS = (folder / "xenstored",)
sys.exit(libxlpy.cli.main.main(["--backend", "xen", *sys.argv[1:]]))
"""

#: The loader then finds what is in the folder, for the process and its children only.
FOUND_BY_THE_LOADER = """
mount -t tmpfs tmpfs /var/cache/ldconfig
ldconfig -X -C "$1/cache" -f "$1/ld.so.conf"
mount --bind "$1/cache" /etc/ld.so.cache
"""


def library(folder: Path, minor: int) -> None:
    """Compile a libxenguest of some release; it has no function at all."""
    name = f"libxenguest.so.4.{minor}"
    source = ["cc", "-shared", "-x", "c", "/dev/null"]
    target = [f"-Wl,-soname,{name}", "-o", str(folder / name)]
    subprocess.run([*source, *target], check=True)
    (folder / "ld.so.conf").write_text(f"{folder}\ninclude /etc/ld.so.conf\n")


@pytest.mark.parametrize("command", [["list"], ["save", "web", "image"]])
@pytest.mark.parametrize(
    ("minor", "words"),
    [
        (13, "found only libxenguest.so.4.13: Xen 4.14 to 4.22 is needed"),
        (14, "function not found: xc_interface_open"),
        (None, "no libxenguest.so.4.N found: is this a Xen dom0? Xen 4.14 to 4.22 is"),
    ],
)
def test_a_wrong_library_is_named_with_the_range(
    tmp_path: Path, command: list[str], minor: int | None, words: str
) -> None:
    (tmp_path / "ld.so.conf").write_text("include /etc/ld.so.conf\n")
    if minor is not None:
        library(tmp_path, minor)
    xlpy = [sys.executable, "-c", DOM0, str(tmp_path), *command]
    done = subprocess.run(
        private_mounts(FOUND_BY_THE_LOADER, tmp_path, xlpy),
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
        env=environment(),
    )
    assert words in failure_line(done.returncode, done.stderr, 1)
    assert done.stdout == ""
    assert not (tmp_path / "image").exists()
