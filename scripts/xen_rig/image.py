"""Build the image of a suite: root disk, Xen, kernels, guests; atomically."""

import re
import shutil
import time
from pathlib import Path

from xen_rig import kernel
from xen_rig.booted import boot_guests
from xen_rig.common import RigError, locked, log, make_ext4, run, work_dir
from xen_rig.shadow import add_hypervisor
from xen_rig.suites import HERE, SUITES, Suite, apt_options, mirror

# Nothing of these is of use in the rig: smaller is faster to write and to read.
LEAVE_OUT = (
    "./dev/*",
    "./boot/initrd*",
    "./boot/*.efi",
    "./boot/System.map*",
    "./usr/share/doc/*",
    "./usr/share/man/*",
    "./usr/share/locale/*",
    "./var/lib/apt/lists/*",
    "*/kernel/drivers/gpu/*",
    "*/kernel/drivers/media/*",
    "*/kernel/drivers/net/wireless/*",
    "*/kernel/drivers/infiniband/*",
    "*/kernel/sound/*",
)

# A guest has no libraries.
GUEST_C = ("-static", "-O2", "-Wall", "-Wextra", "-Werror")

SPARE_MIB = 1024  # free room on the root disk for saved guests


def ensure_image(
    suite: Suite, mirror_url: str | None = None, source: Path | None = None
) -> Path:
    """Return the folder of the suite's image, building it when it is missing.

    Args:
        suite: Which image.
        mirror_url: The Debian mirror; by default the one this machine uses.
        source: A tarball of Xen's sources for a suite whose hypervisor is built here.

    Raises:
        RigError: It could not be built. Nothing is left behind then.
    """
    folder = suite.folder
    if folder.is_dir():
        return folder
    with locked(suite.name):
        if not folder.is_dir():  # else another call built it while we waited
            started = time.monotonic()
            _build(suite, mirror_url or mirror(), source, folder)
            log(f"{suite.name} image built in {time.monotonic() - started:.0f} s")
    return folder


def _build(suite: Suite, mirror_url: str, source: Path | None, folder: Path) -> None:
    """Build all in a temporary folder, then rename it into place."""
    log(f"building the {suite.name} image (Xen {suite.xen})")
    base = ensure_image(SUITES[suite.base], mirror_url) if suite.base else None
    with work_dir() as work:
        image = work / "image"
        image.mkdir()
        if base:
            add_hypervisor(suite, base, work, image, source)
        else:
            _build_from_packages(suite, mirror_url, work, image)
        image.rename(folder)


def _build_from_packages(
    suite: Suite, mirror_url: str, work: Path, image: Path
) -> None:
    """Make an image of a suite's Debian packages."""
    tarball = work / "root.tar"
    _bootstrap(suite, mirror_url, tarball)
    root = work / "root"
    root.mkdir()
    excludes = [f"--exclude={pattern}" for pattern in LEAVE_OUT]
    run(["tar", "-C", root, "--no-same-owner", *excludes, "-xf", tarball])
    tarball.unlink()
    assemble(suite, root, image)
    boot_guests(image)


def _bootstrap(suite: Suite, mirror_url: str, tarball: Path) -> None:
    """Make the suite's root file system as a tarball."""
    options = tarball.with_name("apt.conf")
    options.write_text(apt_options())
    command = ["mmdebstrap", "--quiet", "--variant=minbase", f"--aptopt={options}"]
    command += [f"--include={','.join(suite.packages)}", suite.name]
    run([*command, tarball, mirror_url])


def assemble(suite: Suite, root: Path, image: Path) -> None:
    """Make the files that QEMU boots from an unpacked root file system.

    Args:
        suite: Whose it is.
        root: The root file system; the rig's own files are added to it.
        image: Where the results go.
    """
    bzimage = _only(root / "boot", "vmlinuz-*")
    xen = _only(root / "boot", f"xen-{suite.xen}*.gz")
    modules = _only(root / "lib" / "modules", "*")
    busybox = root / "bin" / "busybox"
    (image / "xen").write_bytes(kernel.unpack(xen.read_bytes()))
    (image / "vmlinux").write_bytes(kernel.vmlinux(bzimage))

    tree = image.with_name("dom0-initramfs")
    kernel.busybox_tree(tree, busybox, HERE / "dom0" / "initramfs-init")
    kernel.write_modules(modules, kernel.DISK_MODULES, tree / "modules")
    kernel.write_cpio(tree, image / "dom0.ird")

    _add_guests(root / "guest", image / "vmlinux", bzimage, busybox, modules)
    _add_rig_files(root)
    make_ext4(image / "root.ext4", root, SPARE_MIB)


def _only(folder: Path, pattern: str) -> Path:
    """Return the one file that matches.

    Raises:
        RigError: There is none, or more than one.
    """
    found = sorted(folder.glob(pattern))
    if len(found) != 1:
        raise RigError(f"{len(found)} files match {pattern} in {folder}, not one")
    return found[0]


def _add_guests(
    folder: Path, vmlinux: Path, bzimage: Path, busybox: Path, modules: Path
) -> None:
    """Put the guests' kernel, initramfs and xl configurations in a folder."""
    folder.mkdir()
    shutil.copy2(vmlinux, folder / "vmlinux")
    shutil.copy2(bzimage, folder / "vmlinuz")  # HVM direct boot takes no ELF
    tree = folder.with_name("guest-initramfs")
    init = tree.with_name("guest-init")
    run(["cc", *GUEST_C, "-o", init, HERE / "guest" / "init.c"])
    kernel.busybox_tree(tree, busybox, init)
    kernel.write_modules(modules, kernel.GUEST_MODULES, tree / "modules")
    kernel.write_cpio(tree, folder / "initramfs")
    shutil.rmtree(tree)
    for config in (HERE / "guest").glob("*.cfg"):
        shutil.copy2(config, folder)


def _add_rig_files(root: Path) -> None:
    """Add dom0's init, its ssh, and the path by which its Python finds the code."""
    init = root / "xen-rig-init"
    shutil.copy2(HERE / "dom0" / "xen-rig-init", init)
    init.chmod(0o755)
    for program in ("ssh", "sshd"):
        folder = root / "etc" / "ssh" / f"{program}_config.d"
        shutil.copy2(HERE / "dom0" / f"{program}.conf", folder / "xen-rig.conf")
    shadow = root / "etc" / "shadow"  # no password: see sshd.conf
    shadow.write_text(re.sub("(?m)^root:[^:]*:", "root::", shadow.read_text()))
    # A .pth file, as `python3 -I` (the helper) ignores PYTHONPATH.
    packages = root / "usr" / "lib" / "python3" / "dist-packages"
    (packages / "libxlpy-xen-rig.pth").write_text("/code/site\n")
