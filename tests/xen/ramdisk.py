"""A guest's initramfs with more files than the rig's has."""

import subprocess
from pathlib import Path

RIGS = Path("/guest/initramfs")


def extended(folder: Path, files: dict[str, tuple[bytes, int]]) -> Path:
    """Write the rig's initramfs with files behind it, which a kernel unpacks last.

    Args:
        folder: An empty one, for the test's own.
        files: Name in the root folder -> what is in it, and its mode.

    Returns:
        The file, in the folder.
    """
    tree = folder / "tree"
    tree.mkdir()
    for name, (data, mode) in files.items():
        (tree / name).write_bytes(data)
        (tree / name).chmod(mode)
    command = ["busybox", "cpio", "-o", "-H", "newc"]
    names = "\n".join(sorted(files)).encode()
    more = subprocess.run(
        command, cwd=tree, input=names, capture_output=True, check=True
    ).stdout
    made = folder / "initramfs"
    made.write_bytes(RIGS.read_bytes() + more)
    return made
