"""Files that are no saved domain, or of a version that is not known: one line."""

import struct
from pathlib import Path

import pytest

from tests.support.shell import Shell

BAD_FILES: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "the stream ends here"),
    "not an image": (b"#!/bin/sh\n" * 9, "wrong magic, not a file made by xl save"),
    "short": (b"Xen saved domain, xl format\n \0 \r", "the stream ends inside it"),
}


@pytest.mark.parametrize("command", ["verify", "restore"])
@pytest.mark.parametrize("case", BAD_FILES)
def test_what_is_no_saved_domain_is_refused(
    shell: Shell, tmp_path: Path, case: str, command: str
) -> None:
    data, reason = BAD_FILES[case]
    (tmp_path / "image").write_bytes(data)
    assert reason in shell.bad(command, tmp_path / "image")


@pytest.fixture(scope="module")
def image(shell: Shell, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A whole and sound file."""
    path = tmp_path_factory.mktemp("files") / "image"
    with shell.guest("small", memory_mib=4):
        shell.good("save", "small", path)
    return path.read_bytes()


#: What to look for, bytes from there to what is changed, the change, what is told.
CHANGES: dict[str, tuple[bytes, int, bytes, str]] = {
    "xl: other byte order": (b"Xen saved", 32, b"\x01\x02\x03\x04", "byte order"),
    "xl: unknown flag": (b"Xen saved", 36, struct.pack("<I", 1 << 20), "flag"),
    "libxl: wrong magic": (b"LibxlFmt", 0, b"X", "libxl header"),
    "libxl: version 1": (b"LibxlFmt", 8, struct.pack(">I", 1), "version 1"),
    "libxl: version 3": (b"LibxlFmt", 8, struct.pack(">I", 3), "version 3"),
    "libxc: wrong marker": (b"\xff" * 8 + b"XENF", 0, b"\0", "libxc image header"),
    "libxc: wrong magic": (b"\xff" * 8 + b"XENF", 8, b"Y", "libxc image header"),
    "libxc: version 1": (b"\xff" * 8 + b"XENF", 12, struct.pack(">I", 1), "version 1"),
    "libxc: version 4": (b"\xff" * 8 + b"XENF", 12, struct.pack(">I", 4), "version 4"),
}


@pytest.mark.parametrize("command", ["verify", "restore"])
@pytest.mark.parametrize("case", CHANGES)
def test_wrong_magics_and_versions_are_refused(
    shell: Shell, image: bytes, tmp_path: Path, case: str, command: str
) -> None:
    mark, skip, change, reason = CHANGES[case]
    at = image.index(mark) + skip
    path = tmp_path / "image"
    path.write_bytes(image[:at] + change + image[at + len(change) :])
    line = shell.bad(command, path)
    assert str(path) in line
    assert reason in line
    assert shell.domains() == []
