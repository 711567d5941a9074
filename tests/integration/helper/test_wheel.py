"""The wheel: its tag, what is in it, and that it works where it is installed."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
COMPILED = ("_xenguest.abi3.so", "libsimxen.so", "simxen-guest")
NOT_SOURCE = shutil.ignore_patterns(".*", "__pycache__", "*.so", "simxen-guest", "dist")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel made from the sdist, as a release is."""
    work = tmp_path_factory.mktemp("wheel")
    shutil.copytree(ROOT, work / "source", ignore=NOT_SOURCE)
    shutil.copy(ROOT / ".gitignore", work / "source")
    argv = [sys.executable, "-m", "build", "--no-isolation", "--outdir"]
    subprocess.run([*argv, str(work), str(work / "source")], check=True)
    (path,) = work.glob("*.whl")
    return path


@pytest.mark.timeout(300)
def test_one_wheel_serves_every_python_from_3_11(wheel: Path) -> None:
    assert "-cp311-abi3-linux_" in wheel.name
    with zipfile.ZipFile(wheel) as archive:
        modes = {info.filename: info.external_attr >> 16 for info in archive.infolist()}
    for name in COMPILED:
        assert modes[f"libxlpy_helper/{name}"] & 0o111 == 0o111
    assert not [name for name in modes if name.startswith(("tests", "scripts"))]


@pytest.mark.timeout(300)
def test_installed_helper_starts_and_simxen_guest_is_executable(
    wheel: Path, tmp_path: Path
) -> None:
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps"]
    subprocess.run(
        [*pip, "--no-index", "--target", str(tmp_path), str(wheel)], check=True
    )
    package = tmp_path / "libxlpy_helper"
    for name in COMPILED:
        assert os.access(package / name, os.X_OK)
    code = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n"
        "from libxlpy_helper import xenguest, library\n"
        "made = library.Library(library.LIBSIMXEN, '4.20', xenguest.ABI_4_15)\n"
        "print(made.name)"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-c", code], check=True, capture_output=True, text=True
    )
    assert done.stdout.strip() == str(package / "libsimxen.so")
