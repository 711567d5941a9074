"""What every part of the rig shares: errors, tools, subprocesses, the cache."""

import fcntl
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path


class RigError(Exception):
    """A failure with a text for the user: one line, no traceback."""


# Debian package of each program the rig calls.
TOOLS = {
    "qemu-system-x86_64": "qemu-system-x86",
    "mmdebstrap": "mmdebstrap",
    "mkfs.ext4": "e2fsprogs",
    "busybox": "busybox-static",
    "xz": "xz-utils",
    "zstd": "zstd",
    "tar": "tar",
    "setpriv": "util-linux",
    "unshare": "util-linux",
    "cc": "build-essential",
}


def log(text: str) -> None:
    """Tell the user what is going on, on stderr (stdout is the command's)."""
    print(f"xen-rig: {text}", file=sys.stderr, flush=True)


def find_tool(name: str) -> str | None:
    """Return the path of a program, /sbin included (not on a user's PATH)."""
    path = os.environ.get("PATH", os.defpath)
    return shutil.which(name, path=f"{path}:/usr/sbin:/sbin")


def need_tools(tools: dict[str, str] = TOOLS) -> None:
    """Install the programs that are missing, or say how to.

    Args:
        tools: The Debian package of each.

    Raises:
        RigError: A program is missing and this is not root.
    """
    with locked("tools"):  # apt does not wait for another apt
        _install_missing(tools)


def _install_missing(tools: dict[str, str]) -> None:
    packages = {tools[name] for name in tools if find_tool(name) is None}
    if os.geteuid() != 0 and find_tool("newuidmap") is None:
        packages.add("uidmap")  # mmdebstrap without root maps user ids with it
    if not packages:
        return
    install = ["apt-get", "install", "-y", "--no-install-recommends"]
    install += sorted(packages)
    if os.geteuid() != 0 or find_tool("apt-get") is None:
        raise RigError(f"missing programs; install them with: {' '.join(install)}")
    log(f"installing {' '.join(sorted(packages))}")
    run(["apt-get", "update", "-q"])
    run(["env", "DEBIAN_FRONTEND=noninteractive", *install, "-q"])


def run(command: Sequence[str | Path], *, cwd: Path | None = None) -> str:
    """Run a command to its end and return its stdout.

    Raises:
        RigError: It failed; the text has the end of what it printed.
    """
    name = str(command[0])
    argv = [find_tool(name) or name, *map(str, command[1:])]
    try:
        done = subprocess.run(
            argv,
            cwd=cwd,
            check=False,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
        )
    except OSError as error:
        raise RigError(f"cannot run {name}: {error.strerror}") from None
    if done.returncode:
        tail = (done.stderr or done.stdout).strip().splitlines()[-12:]
        print("\n".join(tail), file=sys.stderr)
        raise RigError(f"{name} failed with status {done.returncode}")
    return done.stdout


def cache_dir() -> Path:
    """Return the rig's own cache folder, outside every checkout."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "libxlpy" / "xen-rig"


@contextmanager
def locked(name: str) -> Iterator[None]:
    """Do something that one process only may do at a time."""
    base = cache_dir()
    base.mkdir(parents=True, exist_ok=True)
    handle = os.open(base / f"{name}.lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


@contextmanager
def work_dir() -> Iterator[Path]:
    """Give a locked temporary folder in the cache; it is gone afterwards.

    The lock lets the next call remove what a killed call left behind.
    """
    base = cache_dir() / "tmp"
    base.mkdir(parents=True, exist_ok=True)
    _sweep(base)
    path = Path(tempfile.mkdtemp(dir=base))
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)
        os.close(handle)


def _sweep(base: Path) -> None:
    """Remove the temporary folders whose owner is dead."""
    for path in base.iterdir():
        try:
            handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError:
            continue
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # A folder just made is not locked yet: leave the young ones.
            if _age(path) > 60:
                shutil.rmtree(path, ignore_errors=True)
        except OSError:
            continue
        finally:
            os.close(handle)


def _age(path: Path) -> float:
    """Return how many seconds ago a folder was last changed."""
    return time.time() - path.stat().st_mtime


def make_ext4(image: Path, tree: Path, spare_mib: int) -> None:
    """Write a folder into a new ext4 image, with some room to spare.

    Without root, a user namespace makes the files belong to root in the image.
    """
    used = sum(p.lstat().st_size + 4096 for p in tree.rglob("*"))
    size_mib = used * 11 // 10 // 2**20 + spare_mib
    command: list[str | Path] = ["mkfs.ext4", "-q", "-F", "-m", "0"]
    command += ["-O", "^has_journal", "-d", tree, image, f"{size_mib}M"]
    if os.geteuid() != 0:
        command[0] = find_tool("mkfs.ext4") or "mkfs.ext4"
        command = ["unshare", "--map-root-user", *command]
    run(command)
