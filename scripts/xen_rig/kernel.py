"""Kernel and initramfs work: unpacked kernels, modules, cpio archives."""

import gzip
import lzma
import os
import shutil
import stat
import struct
import subprocess
from pathlib import Path

from xen_rig.common import RigError, find_tool

# Modules that dom0 needs to reach its root disk; one crc32c name is in each suite.
DISK_MODULES = (
    "virtio_pci",
    "virtio_blk",
    "crc32c_generic",
    "crc32c-cryptoapi",
    "ext4",
)
# Modules that a guest needs to have an interface.
GUEST_MODULES = ("xen-netfront",)


def unpack(data: bytes) -> bytes:
    """Decompress gzip, xz or zstd data, ignoring what follows it.

    Raises:
        RigError: The data is in none of these formats.
    """
    if data.startswith(b"\x1f\x8b"):
        return gzip.decompress(data)
    if data.startswith(b"\xfd7zXZ\0"):
        return lzma.LZMADecompressor().decompress(data)
    if data.startswith(b"\x28\xb5\x2f\xfd"):
        # No zstd in Python 3.11's library.
        tool = [find_tool("zstd") or "zstd", "-dcq"]
        return subprocess.run(tool, input=data, capture_output=True, check=True).stdout
    raise RigError("unknown compression of a kernel or module")


def vmlinux(bzimage: Path) -> bytes:
    """Return the ELF kernel inside a bzImage.

    Decompression takes seconds under emulation, at each boot and each guest
    start; here it takes a moment, once. Offsets: Linux's boot protocol.
    """
    data = bzimage.read_bytes()
    if data[0x202:0x206] != b"HdrS":
        raise RigError(f"{bzimage.name} is not a bzImage")
    sectors = data[0x1F1] or 4
    offset, length = struct.unpack_from("<II", data, 0x248)
    start = (sectors + 1) * 512 + offset
    payload = data[start : start + length]
    # The build appends the unpacked size to all formats but gzip, which has it.
    return unpack(payload if payload[:2] == b"\x1f\x8b" else payload[:-4])


def module_closure(modules: Path, wanted: tuple[str, ...]) -> list[Path]:
    """Return the wanted modules and all they need, in load order."""
    needs: dict[str, list[str]] = {}
    for line in (modules / "modules.dep").read_text().splitlines():
        path, _, rest = line.partition(":")
        needs[path] = rest.split()
    names = {Path(path).name.split(".")[0]: path for path in needs}
    order: list[str] = []
    for name in wanted:
        if name not in names:
            continue
        # modules.dep lists a module's needs with the deepest last.
        for path in [*reversed(needs[names[name]]), names[name]]:
            if path not in order:
                order.append(path)
    return [modules / path for path in order]


def write_modules(modules: Path, wanted: tuple[str, ...], target: Path) -> None:
    """Put modules and what they need, unpacked, and their load order in a folder."""
    target.mkdir(parents=True)
    order = []
    for path in module_closure(modules, wanted):
        data = path.read_bytes()
        name = path.name.split(".")[0] + ".ko"
        (target / name).write_bytes(data if data[:4] == b"\x7fELF" else unpack(data))
        order.append(name)
    (target / "order").write_text("".join(f"{name}\n" for name in order))


def busybox_tree(tree: Path, busybox: Path, init: Path) -> None:
    """Lay out a minimal initramfs: static busybox and an init."""
    for name in ("bin", "dev", "proc", "sys", "mem", "root", "tmp"):
        (tree / name).mkdir(parents=True, exist_ok=True)
    shutil.copy2(busybox, tree / "bin" / "busybox")
    shutil.copy2(init, tree / "init")
    (tree / "init").chmod(0o755)


def write_cpio(tree: Path, target: Path) -> None:
    """Pack a folder as an initramfs.

    It is not compressed: unpacking is what costs under emulation, not reading.
    The console device is made by hand, as only root may mknod on disk.
    """
    names = sorted(str(p.relative_to(tree)) for p in tree.rglob("*"))
    with target.open("wb") as out:
        for inode, name in enumerate(names, start=1):
            path = tree / name
            info = path.lstat()
            body = path.read_bytes() if stat.S_ISREG(info.st_mode) else b""
            out.write(_cpio_entry(inode, name, info.st_mode, body))
        console = stat.S_IFCHR | 0o600
        device = os.makedev(5, 1)
        out.write(_cpio_entry(len(names) + 1, "dev/console", console, b"", device))
        out.write(_cpio_entry(0, "TRAILER!!!", 0, b""))


def _cpio_entry(
    inode: int, name: str, mode: int, body: bytes, device: int = 0
) -> bytes:
    """Return one entry of the `newc` format: owned by root, no dates."""
    fields = [inode, mode, 0, 0, 1, 0, len(body), 0, 0]
    fields += [os.major(device), os.minor(device), len(name) + 1, 0]
    head = b"070701" + b"".join(b"%08X" % field for field in fields)
    head += name.encode() + b"\0"
    return head + bytes(-len(head) % 4) + body + bytes(-len(body) % 4)
