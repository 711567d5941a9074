"""Debian's own Xen headers and libraries, unpacked into a cache and never installed.

The mirror is the one that this machine's apt uses. What comes from another suite is
looked up with an apt of its own (sources, lists and cache in a folder), so that the
machine's configuration stays as it is.
"""

import os
import platform
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
#: Suite -> Xen version in it.
SUITES = {"bookworm": "4.17", "trixie": "4.20"}
#: What libxenguest and its header are in, what it needs of Xen's, and what uses it.
PACKAGES = (
    "libxen-dev",
    "libxenmisc{version}",
    "libxencall1",
    "libxendevicemodel1",
    "libxenevtchn1",
    "libxenforeignmemory1",
    "libxengnttab1",
    "libxentoolcore1",
    "libxentoollog1",
    "xen-utils-{version}",
)


@dataclass(frozen=True, slots=True)
class XenFiles:
    """Headers and libraries of one Xen version."""

    version: str
    include: Path
    lib: Path
    #: libxl-save-helper.
    save_helper: Path

    @property
    def verify_stream(self) -> Path:
        """Xen's own verifier of saved domains, in Python."""
        return self.save_helper.with_name("verify-stream-v2")


def xen_of(suite: str) -> XenFiles:
    """Return what a Debian suite has of Xen; downloaded the first time."""
    version = SUITES[suite]
    kept = cache() / f"{suite}-{version}-with-programs"
    if not kept.is_dir():
        kept.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=kept.parent) as work:
            _download(suite, version, Path(work))
            unpacked = _unpack(Path(work))
            try:
                unpacked.rename(kept)
            except OSError:  # someone else was faster
                assert kept.is_dir()
    (lib,) = (kept / "usr" / "lib").glob("*-linux-gnu*")
    programs = kept / "usr" / "lib" / f"xen-{version}" / "bin"
    return XenFiles(
        version, kept / "usr" / "include", lib, programs / "libxl-save-helper"
    )


def cache() -> Path:
    """Return the folder that outlives the checkout."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "libxlpy" / "headers"


def mirror() -> str:
    """Return the address that apt has Debian's main component from."""
    pattern = "$(ORIGIN)|$(COMPONENT)|$(CODENAME)|$(REPO_URI)"
    argv = ["apt-get", "indextargets", "--format", pattern, "Created-By: Packages"]
    lines = subprocess.run(argv, check=True, capture_output=True, text=True).stdout
    own = platform.freedesktop_os_release()["VERSION_CODENAME"]
    for line in lines.splitlines():
        origin, component, codename, uri = line.split("|")
        if (origin, component, codename) == ("Debian", "main", own):
            return uri
    raise LookupError(f"apt knows no Debian mirror of {own}: run apt-get update")


def _download(suite: str, version: str, work: Path) -> None:
    apt = _private_apt(suite, work)
    names = [name.format(version=version) for name in PACKAGES]
    subprocess.run([*apt, "update"], check=True, capture_output=True)
    subprocess.run(
        [*apt, "download", *names], check=True, capture_output=True, cwd=work
    )
    assert list(work.glob(f"libxen-dev_{version}.*.deb"))


def _private_apt(suite: str, work: Path) -> list[str]:
    """Return an apt-get that knows one suite, and touches nothing outside ``work``."""
    for folder in ("lists/partial", "cache/archives/partial", "etc"):
        (work / folder).mkdir(parents=True)
    (work / "status").touch()
    sources = work / "etc" / "sources.list"
    sources.write_text(f"deb [signed-by={KEYRING}] {mirror()} {suite} main\n")
    options = {
        "Dir::Etc::sourcelist": sources,
        "Dir::Etc::sourceparts": "-",
        "Dir::State::lists": work / "lists",
        "Dir::State::status": work / "status",
        "Dir::Cache": work / "cache",
        "Acquire::Languages": "none",
        "APT::Sandbox::User": "root",
    }
    words = [f"{name}={value}" for name, value in options.items()]
    return ["apt-get", "-q", *(part for word in words for part in ("-o", word))]


def _unpack(work: Path) -> Path:
    target = work / "unpacked"
    for package in work.glob("*.deb"):
        subprocess.run(["dpkg-deb", "-x", str(package), str(target)], check=True)
    shutil.rmtree(target / "usr" / "share", ignore_errors=True)
    return target
