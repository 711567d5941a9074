"""The suite `shadow`: a suite's hypervisor, built again with shadow paging.

Debian 13 leaves it out, and so can't save a PV guest live. Its source packages are not
always served: nothing in CI may need this.
"""

import os
import shutil
from pathlib import Path

from xen_rig.common import RigError, log, need_tools, run
from xen_rig.suites import Suite, apt_options, mirror

TOOLS = {
    "make": "make",
    "gcc": "gcc",
    "flex": "flex",
    "bison": "bison",
    "tar": "tar",
}
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
SETTING = "CONFIG_SHADOW_PAGING=y\n"


def add_hypervisor(
    suite: Suite, base: Path, work: Path, image: Path, source: Path | None
) -> None:
    """Make the image of a suite whose hypervisor is built here.

    Args:
        suite: Whose image it is.
        base: The folder of the image it is like, but for the hypervisor.
        work: A temporary folder.
        image: The folder where the image goes.
        source: A tarball of Xen's sources; None for Debian's source package.

    Raises:
        RigError: The source is not served, or can't be built.
    """
    need_tools(TOOLS)
    for file in base.iterdir():
        os.link(file, image / file.name)  # nobody writes to an image
    (image / "xen").unlink()
    tarball = source or _source_package(suite, work)
    folder = work / "source"
    folder.mkdir()
    run(["tar", "-C", folder, "--strip-components=1", "-xf", tarball])
    log("building the hypervisor with shadow paging: some minutes")
    shutil.copy2(_built(folder / "xen"), image / "xen")


def _source_package(suite: Suite, work: Path) -> Path:
    """Get the source package of the suite's Xen; return the sources' tarball."""
    apt = work / "apt"
    for folder in ("lists/partial", "cache/archives/partial"):
        (apt / folder).mkdir(parents=True)
    line = f"deb-src [signed-by={KEYRING}] {mirror()} {suite.release} main\n"
    (apt / "sources.list").write_text(line)
    (apt / "apt.conf").write_text(
        apt_options()
        + f'Dir::Etc::SourceList "{apt}/sources.list";\n'
        + 'Dir::Etc::SourceParts "-";\n'
        + f'Dir::State::Lists "{apt}/lists";\n'
        + f'Dir::Cache "{apt}/cache";\n'
        + 'APT::Sandbox::User "root";\n'
    )
    options = ["-q", f"--config-file={apt / 'apt.conf'}"]
    run(["apt-get", *options, "update"])
    tarball = ["source", "--download-only", "--tar-only", "xen"]
    try:
        run(["apt-get", *options, *tarball], cwd=work)
    except RigError:
        text = f"{suite.release} serves no source package of Xen: use --source"
        raise RigError(text) from None
    [archive] = work.glob("xen_*.orig.tar.*")
    return archive


def _built(source: Path) -> Path:
    """Build the hypervisor; return the ELF file that QEMU boots."""
    make = ["make", "-C", source, f"-j{os.cpu_count() or 1}"]
    run([*make, "defconfig"])
    with (source / ".config").open("a") as config:
        config.write(SETTING)
    run([*make, "olddefconfig"])
    if SETTING not in (source / ".config").read_text():
        raise RigError("this Xen has no setting for shadow paging")
    run(make)
    return source / "xen"
