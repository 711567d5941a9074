"""Debian's own Xen headers, as packages, unpacked into a cache and never installed.

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
PACKAGE = "libxen-dev"


@dataclass(frozen=True, slots=True)
class Headers:
    """The headers of one Xen version."""

    version: str
    include: Path


def headers_of(suite: str) -> Headers:
    """Return the headers in a Debian suite; downloaded the first time."""
    version = SUITES[suite]
    kept = cache() / f"{suite}-{version}"
    if not kept.is_dir():
        kept.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=kept.parent) as work:
            unpacked = _unpack(_download(suite, version, Path(work)), Path(work))
            try:
                unpacked.rename(kept)
            except OSError:  # someone else was faster
                assert kept.is_dir()
    return Headers(version, kept / "usr" / "include")


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


def _download(suite: str, version: str, work: Path) -> Path:
    apt = _private_apt(suite, work)
    subprocess.run([*apt, "update"], check=True, capture_output=True)
    subprocess.run(
        [*apt, "download", PACKAGE], check=True, capture_output=True, cwd=work
    )
    (package,) = work.glob(f"{PACKAGE}_{version}.*.deb")
    return package


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


def _unpack(package: Path, work: Path) -> Path:
    target = work / "unpacked"
    subprocess.run(["dpkg-deb", "-x", str(package), str(target)], check=True)
    for name in ("lib", "share"):  # only the headers are wanted
        shutil.rmtree(target / "usr" / name, ignore_errors=True)
    return target
