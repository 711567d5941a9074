"""scripts/venv on machines that lack something: it copes, or names the cure."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
#: All that scripts/venv looks at; a project that is quick to install.
PROJECT = """\
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"
[project]
name = "tiny"
version = "1"
dependencies = ["iniconfig>=1.1.1"]
[project.optional-dependencies]
more = ["pluggy>=1.4"]
[dependency-groups]
dev = ["tiny[more]"]
[tool.hatch.build.targets.wheel]
include = ["tiny.py"]
"""
#: Modules that stand in the way of the real ones, as if these were not installed.
NO_ENSUREPIP = {"ensurepip.py": "raise ImportError('hidden')\n"}
NO_PIP = {"pip.py": "raise ImportError('hidden')\n"}
NO_HEADERS = {
    "sitecustomize.py": "import sysconfig\nsysconfig.get_path = lambda name: '/none'\n"
}


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """Give a tiny project with our scripts/venv."""
    folder = tmp_path / "checkout"
    for name in ("scripts", "helper/src"):
        (folder / name).mkdir(parents=True)
    shutil.copy(ROOT / "scripts" / "venv", folder / "scripts")
    (folder / "pyproject.toml").write_text(PROJECT)
    for name in ("tiny.py", "scripts/build_hook.py", "helper/build_xenguest.py"):
        (folder / name).touch()
    (folder / "helper" / "src" / "one.c").touch()
    return folder


def set_up(
    checkout: Path, hidden: dict[str, str], want: str = "dev"
) -> subprocess.CompletedProcess[str]:
    """Run scripts/venv with a python3 that lacks something; not what it makes."""
    stubs = checkout.parent / "stubs"
    stubs.mkdir()
    for name, text in hidden.items():
        (stubs / name).write_text(text)
    base = getattr(sys, "_base_executable", sys.executable)
    python3 = checkout.parent / "bin" / "python3"
    python3.parent.mkdir()
    python3.write_text(f'#!/bin/sh\nPYTHONPATH={stubs} exec {base} "$@"\n')
    python3.chmod(0o755)
    path = f"{python3.parent}:{os.environ['PATH']}"
    return subprocess.run(
        [checkout / "scripts" / "venv", want],
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.timeout(300)  # installs from the package index
def test_without_ensurepip_the_pip_of_the_system_does(checkout: Path) -> None:
    done = set_up(checkout, NO_ENSUREPIP)
    assert done.returncode == 0, done.stderr
    python = checkout / ".venv" / "bin" / "python"
    for argv in (["-m", "pip", "--version"], ["-c", "import tiny, cffi"]):
        subprocess.run([python, *argv], check=True, capture_output=True)


@pytest.mark.timeout(300)
def test_lowest_versions_have_an_environment_of_their_own(checkout: Path) -> None:
    done = set_up(checkout, {}, "lowest")
    assert done.returncode == 0, done.stderr
    python = checkout / ".venv-lowest" / "bin" / "python"
    listed = subprocess.check_output([python, "-m", "pip", "list"], text=True)
    versions = dict(line.split()[:2] for line in listed.splitlines())
    assert (versions["iniconfig"], versions["pluggy"]) == ("1.1.1", "1.4.0")
    assert not (checkout / ".venv").exists()


@pytest.mark.parametrize(
    ("hidden", "said"),
    [
        (
            NO_ENSUREPIP | NO_PIP,
            "python3 has neither ensurepip nor pip: apt-get install python3-venv",
        ),
        (NO_HEADERS, "no Python.h to compile with: apt-get install python3-dev"),
    ],
)
def test_what_is_missing_is_one_line_with_the_cure(
    checkout: Path, hidden: dict[str, str], said: str
) -> None:
    done = set_up(checkout, hidden)
    assert (done.returncode, done.stderr) == (1, f"scripts/venv: {said}\n")
    assert not (checkout / ".venv").exists()
