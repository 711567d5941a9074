"""A test fails for mounts and shared memory that it leaves, and for nobody else's."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.shell import ROOT, environment, private_mounts

#: Mounts in $1 and makes shared memory while a test runs.
SOMEBODY = """
mkdir "$1/theirs"
mkfifo "$1/begun" "$1/made"
{
    cat "$1/begun"
    mount -t tmpfs tmpfs "$1/theirs"
    touch /dev/shm/theirs
    grep -c theirs /proc/self/mountinfo >"$1/made"
} &
"""


def run(folder: Path, body: str, beside: str = "") -> str:
    """Run a test by a pytest of its own, beside a script; give what pytest says."""
    module = folder / "test_it.py"
    module.write_text(f"import os\ndef test_it():\n    {body}\n")
    pytest = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider"]
    pytest += ["-p", "tests.conftest", str(module)]
    # Not instead of the shell: its mounts must outlast those of the test.
    command = ["sh", "-c", '"$@"; exit', "sh", *pytest]
    done = subprocess.run(
        private_mounts(f"mount -t tmpfs tmpfs /dev/shm\n{beside}", folder, command),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        cwd=ROOT,
        env=environment(),
    )
    return done.stdout


def test_what_others_make_meanwhile_is_not_seen(tmp_path: Path):
    body = f"assert os.system('cd {tmp_path} && : >begun && grep -qx 1 made') == 0"
    said = run(tmp_path, body, SOMEBODY)
    assert "= 1 passed in" in said, said


@pytest.mark.parametrize(
    ("body", "place"),
    [
        ("os.system('mount -t tmpfs tmpfs /mnt')", "/mnt"),
        ("open('/dev/shm/ours', 'w').close()", "/dev/shm/ours"),
    ],
)
def test_what_is_left_fails_the_test(tmp_path: Path, body: str, place: str):
    said = run(tmp_path, body)
    assert f"{place}'}}" in said, said
    assert "= 1 passed, 1 error in" in said, said
