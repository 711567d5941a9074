"""Each program of the helper's package is found wherever its starter's packages are.

Here: in two folders that Python knows by PYTHONPATH only, as with ``--target``; for an
isolated Python a user's own folder is of this kind, too.
"""

import json
import os
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.simxen_host import Simxen

ROOT = Path(__file__).parents[3]
PACKAGES = ("libxlpy", "helper/libxlpy_helper", "protocol/libxlpy_protocol")
#: A Python that has not what the tests' own has.
BARE = Path(getattr(sys, "_base_executable", sys.executable)).resolve()
LIMIT = 60.0

#: Runs as a helper does, and starts what a builder starts.
PROBE = """
import json, os, subprocess, sys
from libxlpy_helper.builder.launcher import save_helper_path
from libxlpy_helper.launch import python
def run(argv):
    return subprocess.run(argv, env={}, stdin=-3, capture_output=True, text=True,
                          close_fds=False).stderr
def main(argv):
    save = run([save_helper_path(os.pipe()[0]), "--save-domain"])
    watch = run([*python("libxlpy_helper.builder.monitor"), "x", "y", "z"])
    print(json.dumps([sys.path, save, watch]))
"""
#: Gives what the parent would start for a module.
ASK = """
import json, sys
from libxlpy.process.packages import helper_python
print(json.dumps(helper_python(sys.argv[1])))
"""

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def elsewhere(tmp_path: Path) -> list[str]:
    """Where libxlpy is, and where what it needs is."""
    folder = tmp_path / "target"
    folder.mkdir()
    for package in PACKAGES:
        (folder / Path(package).name).symlink_to(ROOT / package)
    return [str(folder), sysconfig.get_path("purelib")]


@pytest.fixture
def run(elsewhere: list[str], tmp_path: Path) -> Run:
    """Run a Python that has the packages there."""

    def run(*arguments: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [BARE, "-s", *arguments],
            cwd=tmp_path,
            env={"PYTHONPATH": ":".join(elsewhere), "PATH": os.defpath},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=LIMIT,
        )

    return run


def test_command_line_works(run: Run, simxen: Simxen) -> None:
    done = run("-m", "libxlpy.cli", "--host", str(simxen.directory), "list")
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("module", "says"),
    [
        ("libxlpy_helper", "libxlpy-helper: unknown option '--song'\n"),
        ("libxlpy_helper.builder.main", "libxlpy-build: unknown option '--song'\n"),
        ("libxlpy_helper.exec_into", "libxlpy-helper: libxlpy starts this program"),
    ],
)
def test_parent_starts_each_program(run: Run, module: str, says: str) -> None:
    argv = json.loads(run("-c", ASK, module).stdout)
    done = subprocess.run(
        [*argv, "--song"], env={}, stdin=-3, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert done.stderr.startswith(says)


def test_what_the_helper_starts_is_found_and_nothing_else_is_searched(
    run: Run, elsewhere: list[str], tmp_path: Path
) -> None:
    (tmp_path / "probe.py").write_text(PROBE)
    argv = json.loads(run("-c", ASK, "probe").stdout)
    done = subprocess.run(
        [*argv[:-2], str(tmp_path), *argv[-2:]],
        env={"PYTHONPATH": "/nowhere"},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    path, drop_in, monitor = json.loads(done.stdout)
    assert drop_in == "libxlpy-save-helper: --save-domain: 0 arguments, not 6\n"
    assert "ValueError: invalid literal for int()" in monitor
    assert path[-3:] == [*elsewhere, str(tmp_path)]
    assert not [entry for entry in path[:-3] if "packages" in entry]


def test_current_folder_is_not_looked_at(run: Run, tmp_path: Path) -> None:
    for package in ("libxlpy_helper", "msgpack", "_cffi_backend"):
        (tmp_path / package).mkdir()
        (tmp_path / package / "__init__.py").write_text("")
    folders = json.loads(run("-c", ASK, "libxlpy_helper").stdout)
    assert str(tmp_path) not in folders


def test_package_that_is_missing_is_named(
    run: Run, elsewhere: list[str], tmp_path: Path
) -> None:
    Path(elsewhere[0], "libxlpy_helper").unlink()
    done = run("-c", ASK, "libxlpy_helper")
    says = "package libxlpy_helper is missing: install libxlpy again, with its needs"
    assert done.stderr.splitlines()[-1].endswith(says)


def test_drop_in_alone_names_what_its_own_folder_lacks(run: Run) -> None:
    """It has no parent to tell it folders, and the environment has no say."""
    done = run("-m", "libxlpy_helper.dropin.main", "--save-domain")
    assert done.returncode == 1
    assert done.stderr.startswith("libxlpy-save-helper: No module named ")
    assert done.stderr.count("\n") == 1
