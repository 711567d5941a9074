"""What gets installed: the wheel, built from the sdist, as a packager does it."""

import os
import re
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
COMPILED = ("_xenguest.abi3.so", "libsimxen.so", "simxen-guest")

pytestmark = pytest.mark.timeout(300)  # compiles everything


def run(*argv: str | Path, cwd: Path = ROOT) -> str:
    """Run a program that must succeed; give what it printed."""
    done = subprocess.run(argv, cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="session")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the sdist from the checkout."""
    out = tmp_path_factory.mktemp("sdist")
    run(sys.executable, "-m", "build", "--no-isolation", "--sdist", "--outdir", out)
    (archive,) = out.glob("*.tar.gz")
    return archive


@pytest.fixture(scope="session")
def wheel(sdist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel from the unpacked sdist, far from the checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    run("tar", "-C", folder, "-xf", sdist)  # Python's own: no filter before 3.11.4
    (source,) = folder.iterdir()
    run(
        sys.executable, "-m", "build", "--no-isolation", "--wheel",
        "--outdir", folder / "out", cwd=source,
    )  # fmt: skip
    (built,) = (folder / "out").glob("*.whl")
    return built


@pytest.fixture(scope="session")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install the wheel into a folder of its own."""
    target = tmp_path_factory.mktemp("site")
    run(
        sys.executable, "-m", "pip", "install", "--quiet", "--no-deps",
        "--disable-pip-version-check", "--target", target, wheel,
    )  # fmt: skip
    return target


def test_sdist_carries_sources_and_nothing_compiled(sdist):
    with tarfile.open(sdist) as archive:
        names = {name.split("/", 1)[-1] for name in archive.getnames()}
    assert "helper/build_xenguest.py" in names
    assert "helper/src/simxen/simxen.h" in names
    assert "scripts/build_hook.py" in names
    assert {"LICENSE", "README.md", "CHANGELOG.md", "CONTRIBUTING.md"} <= names
    assert not [name for name in names if name.endswith((".so", ".o", "simxen-guest"))]


def test_one_wheel_serves_all_pythons_from_3_11(wheel):
    assert "-cp311-abi3-" in wheel.name


def stable_names() -> set[str]:
    """Give what Python's own headers declare for extensions of 3.11 and later."""
    limited = "-DPy_LIMITED_API=0x030b0000"
    include = f"-I{sysconfig.get_path('include')}"
    header = ["-include", "Python.h", "-xc", "/dev/null"]
    compiler = os.environ.get("CC", "gcc")
    return set(re.findall(r"\w+", run(compiler, "-E", limited, include, *header)))


def test_extension_asks_for_the_stable_abi_of_3_11_only(installed):
    module = installed / "libxlpy_helper" / "_xenguest.abi3.so"
    symbols = run("readelf", "--dyn-syms", "--wide", module).splitlines()
    asked = {line.split()[-1] for line in symbols if " UND " in line}
    of_python = {name for name in asked if name.lstrip("_").startswith("Py")}
    stable = stable_names()
    assert "PyRun_SimpleString" not in stable  # public, but not for every version
    assert "PyImport_ImportModule" in of_python
    assert of_python <= stable


def test_wheel_holds_the_three_packages_and_what_was_compiled(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    tops = {name.split("/")[0] for name in names if ".dist-info" not in name}
    assert tops == {"libxlpy", "libxlpy_helper", "libxlpy_protocol"}
    assert {f"libxlpy_helper/{name}" for name in COMPILED} <= names
    assert not [name for name in names if name.endswith((".c", ".h", ".pyc"))]


def test_installed_guest_program_can_be_run(installed):
    assert os.access(installed / "libxlpy_helper" / "simxen-guest", os.X_OK)


def test_installed_extension_depends_on_no_xen_library(installed):
    for name in COMPILED:
        needed = run("readelf", "--dynamic", installed / "libxlpy_helper" / name)
        assert "NEEDED" in needed
        assert "xen" not in needed.replace("libsimxen", "").lower()


def test_installed_helper_starts_and_names_what_is_wrong(installed):
    code = (
        f"import sys; sys.path.insert(0, {str(installed)!r}); sys.argv = ['helper']; "
        "import libxlpy_helper; assert libxlpy_helper.__file__.startswith(sys.path[0]);"
        "from libxlpy_helper.__main__ import main; main(['--nonsense'])"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-c", code], capture_output=True, text=True, check=False
    )
    assert done.returncode != 0
    assert done.stderr.startswith("libxlpy-helper: ")
    assert done.stderr.count("\n") == 1
