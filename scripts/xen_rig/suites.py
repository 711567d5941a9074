"""The Debian suites the rig knows, and where their images are kept."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from xen_rig.common import RigError, cache_dir, run

HERE = Path(__file__).resolve().parent

# What makes an image: a change in one of these builds it anew.
RECIPE = ("suites.py", "image.py", "kernel.py", "booted.py", "dom0", "guest")

# The dom0 user land, besides the Xen of the suite.
PACKAGES = (
    "linux-image-amd64",
    "xenstore-utils",
    "udev",
    "kmod",
    "iproute2",
    "python3",
    "python3-cffi",
    "python3-msgpack",
    "python3-psutil",
    "qemu-system-xen",
    "busybox-static",
    "procps",
    "systemd",
    "openssh-server",
)


@dataclass(frozen=True)
class Suite:
    """A machine of the rig.

    Attributes:
        name: What it is called.
        xen: The version of its Xen.
        base: The suite it is like, but for a hypervisor built here; "" if none.
    """

    name: str
    xen: str
    base: str = ""

    @property
    def release(self) -> str:
        """The name of the Debian release."""
        return self.base or self.name

    @property
    def packages(self) -> list[str]:
        """All packages of the image."""
        xen = [f"xen-hypervisor-{self.xen}-amd64", f"xen-utils-{self.xen}"]
        return [*xen, *PACKAGES]

    @property
    def folder(self) -> Path:
        """Where the finished image is."""
        return cache_dir() / f"{self.name}-{_recipe_hash(self)}"


SUITES = {
    "bookworm": Suite("bookworm", "4.17"),
    "trixie": Suite("trixie", "4.20"),
    "shadow": Suite("shadow", "4.20", base="trixie"),
}

#: Built and run by CI, and by `build all`.
ALL = ("bookworm", "trixie")


def _recipe_hash(suite: Suite) -> str:
    """Name an image by everything it is made from."""
    digest = hashlib.sha256(repr(suite).encode())
    for name in (*RECIPE, *(["shadow.py"] if suite.base else [])):
        path = HERE / name
        files = sorted(path.iterdir()) if path.is_dir() else [path]
        for file in files:
            digest.update(file.name.encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()[:12]


def mirror() -> str:
    """Return the Debian mirror this machine itself is set up to use.

    Raises:
        RigError: apt is not here or has no Debian archive configured.
    """
    codename = ""
    for line in Path("/etc/os-release").read_text().splitlines():
        if line.startswith("VERSION_CODENAME="):
            codename = line.partition("=")[2].strip('"')
    wanted = "$(RELEASE)|$(COMPONENT)|$(REPO_URI)"
    lines = run(["apt-get", "indextargets", "--format", wanted]).splitlines()
    rows = [line.split("|") for line in lines if line.count("|") == 2]
    for release, component, uri in rows:
        names = (codename, "stable", "testing", "sid")
        if component == "main" and release in names and "debian" in uri:
            return uri
    raise RigError("no Debian mirror in this machine's apt sources: use --mirror")


def apt_options() -> str:
    """Return the machine's own apt settings for the network, as apt.conf text.

    Proxies, certificates and date checks must hold for the image's apt too.
    """
    keep = ("Acquire::http", "Acquire::https", "Acquire::Check", "Acquire::Retries")
    lines = run(["apt-config", "dump"]).splitlines()
    return "".join(f"{line}\n" for line in lines if line.startswith(keep))
