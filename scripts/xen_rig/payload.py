"""The code under test: a wheel of the checkout and what it needs, on a disk."""

import configparser
import hashlib
import re
import shutil
import sys
import zipfile
from collections.abc import Iterable
from email.parser import HeaderParser
from pathlib import Path

from xen_rig.common import (
    RigError,
    cache_dir,
    locked,
    log,
    make_ext4,
    run,
    work_dir,
)
from xen_rig.suites import HERE

CHECKOUT = HERE.parent.parent

# Debian packages of the image: compiled for dom0's Python, never copied from here.
FROM_DEBIAN = {"cffi", "msgpack", "psutil", "pycparser"}
TEST_NEEDS = ("pytest", "pytest-timeout", "pytest-asyncio", "pyroute2")

# The oldest Python of a dom0 (bookworm); a package for it runs on later ones too.
OLDEST_PYTHON = "3.11"

LAUNCHER = """#!/usr/bin/python3 -I
import sys
from {module} import {function}
sys.exit({function}())
"""


def write_code_image(
    code: Path, image: Path, command: str | None, *, checkout: bool
) -> None:
    """Make the code disk.

    Args:
        code: A checkout with a pyproject.toml, or a plain folder.
        image: Where to write it.
        command: What dom0 runs, as shell text; None for an interactive shell.
        checkout: True if it must be a checkout that can be packaged.
    """
    tree = image.with_name("code")
    if (code / "pyproject.toml").is_file():
        _lay_out_checkout(code, tree)
    elif checkout:
        log(f"no pyproject.toml in {code} yet: only its tests go along")
        tree.mkdir()
        _copy_tests(code, tree)
    else:
        shutil.copytree(code, tree, symlinks=True)
    rig = tree / "rig"
    rig.mkdir(exist_ok=True)
    if command is None:
        (rig / "shell").write_text("")
    else:
        (rig / "command").write_text(command + "\n")
    make_ext4(image, tree, spare_mib=64)


def _lay_out_checkout(code: Path, tree: Path) -> None:
    """Install the wheel and its needs under site/, launchers under bin/."""
    with locked("code"):  # two machines start at once: one of them makes it
        wheel = _wheel(code)
        needs = _needs(wheel)
    site = tree / "site"
    shutil.copytree(needs, site)
    pip = [*_pip(), "install", "-q", "--no-deps", "--no-compile", "--upgrade"]
    run([*pip, "--target", site, wheel])
    # pip's own launchers name the Python of this machine.
    shutil.rmtree(site / "bin", ignore_errors=True)
    _write_launchers(wheel, tree / "bin")
    _copy_tests(code, tree)


def _copy_tests(code: Path, tree: Path) -> None:
    """Put the checkout's tests/ folder beside site/, its guests' programs compiled."""
    ignore = shutil.ignore_patterns("__pycache__", ".pytest_cache", "*.pyc")
    if (code / "tests").is_dir():
        shutil.copytree(code / "tests", tree / "tests", symlinks=True, ignore=ignore)
    for source in (tree / "tests" / "xen").glob("*.c"):
        # Programs for guests, which have no libraries; dom0 has no compiler.
        run(["cc", "-static", "-O2", "-Wall", "-o", source.with_suffix(""), source])


def _pip() -> list[str]:
    """Return the pip to use: the checkout's own environment first."""
    own = CHECKOUT / ".venv" / "bin" / "python"
    python = str(own) if own.exists() else sys.executable
    return [python, "-m", "pip", "--disable-pip-version-check"]


def _sources(code: Path) -> list[Path]:
    """Return the files a wheel is made from, tests and scripts left out."""
    listed = run(
        ["git", "-C", code, "ls-files", "-z", "-co", "--exclude-standard", "."]
    )
    paths = {Path(name) for name in listed.split("\0") if name}
    kept = [p for p in paths if p.parts[0] != "tests" and p.parts[:2] != RIG_PARTS]
    return sorted(p for p in kept if (code / p).is_file())


RIG_PARTS = ("scripts", "xen_rig")


def _digest(code: Path, sources: Iterable[Path]) -> str:
    """Name a set of files by their names and contents."""
    digest = hashlib.sha256(OLDEST_PYTHON.encode())
    for path in sources:
        digest.update(str(path).encode() + b"\0")
        digest.update(hashlib.sha256((code / path).read_bytes()).digest())
    return digest.hexdigest()[:16]


def _wheel(code: Path) -> Path:
    """Build the checkout's wheel, or take it from the cache.

    It is built from a copy: a build leaves folders of its own in the sources.
    """
    sources = _sources(code)
    folder = cache_dir() / "wheels" / _digest(code, sources)
    if not folder.is_dir():
        with work_dir() as work:
            for path in sources:
                target = work / "src" / path
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(code / path, target)
            log("building the wheel")
            run([*_pip(), "wheel", "-q", "--no-deps", "-w", work / "w", work / "src"])
            _publish(work / "w", folder)
    wheels = list(folder.glob("*.whl"))
    if len(wheels) != 1:
        raise RigError(f"{len(wheels)} wheels in {folder}, not one")
    return wheels[0]


def _publish(made: Path, folder: Path) -> None:
    """Move a finished folder into the cache; keep the newest few beside it."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    if not folder.exists():
        made.rename(folder)
    beside = sorted(folder.parent.iterdir(), key=lambda p: p.stat().st_mtime)
    for old in beside[:-4]:
        shutil.rmtree(old, ignore_errors=True)


def _metadata(wheel: Path, name: str) -> str:
    """Return a file of the wheel's .dist-info folder; empty if it has none."""
    with zipfile.ZipFile(wheel) as archive:
        for path in archive.namelist():
            if path.endswith(f".dist-info/{name}"):
                return archive.read(path).decode()
    return ""


def _needs(wheel: Path) -> Path:
    """Install what the wheel and the tests need and Debian has not; cached.

    Only pure-Python packages are taken, so that they serve any dom0's Python.
    """
    header = HeaderParser().parsestr(_metadata(wheel, "METADATA"))
    wanted = set(TEST_NEEDS)
    for need in header.get_all("Requires-Dist", []):
        name = re.split(r"[^A-Za-z0-9._-]", need)[0].lower()
        if "extra ==" not in need and name not in FROM_DEBIAN:
            wanted.add(need)
    key = hashlib.sha256(repr(sorted(wanted)).encode()).hexdigest()[:16]
    folder = cache_dir() / "needs" / key
    if not folder.is_dir():
        log("installing the pure-Python packages that dom0 needs")
        pip = [*_pip(), "install", "-q", "--no-compile", "--only-binary=:all:"]
        pip += ["--platform", "any", "--implementation", "py", "--abi", "none"]
        pip += ["--python-version", OLDEST_PYTHON]
        with work_dir() as work:
            run([*pip, "--target", work / "site", *sorted(wanted)])
            _publish(work / "site", folder)
    return folder


def _write_launchers(wheel: Path, folder: Path) -> None:
    """Write the wheel's programs, run by dom0's Python in isolated mode."""
    folder.mkdir()
    parser = configparser.ConfigParser(delimiters=("=",))
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    parser.read_string(_metadata(wheel, "entry_points.txt"))
    if not parser.has_section("console_scripts"):
        return
    for name, target in parser.items("console_scripts"):
        module, _, function = target.partition(":")
        path = folder / name
        path.write_text(LAUNCHER.format(module=module, function=function))
        path.chmod(0o755)
