"""However few descriptors there may be: one line that has the limit, no traceback."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
#: xlpy whose interpreter looks for nothing else as it starts.
BARE = """
import sys
sys.path[:0] = sys.argv.pop(1).split(":")
from libxlpy.cli.main import main
sys.exit(main())
"""


def list_domains(limit: int, host: Path) -> "subprocess.CompletedProcess[str]":
    path = ":".join(str(ROOT / folder) for folder in ("", "helper", "protocol"))
    packages = [each for each in sys.path if each.endswith("site-packages")]
    return subprocess.run(
        [
            *("/bin/sh", "-c", f'ulimit -n {limit}; exec "$@"', "sh"),
            *(sys.executable, "-S", "-c", BARE, ":".join([path, *packages])),
            *("--backend", "simxen", "--host", str(host), "list"),
        ],
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("limit", [4, 5])
def test_it_can_not_begin(tmp_path: Path, limit: int) -> None:
    done = list_domains(limit, tmp_path)
    told = "xlpy: can't begin: Too many open files; see ulimit -n\n"
    assert (done.returncode, done.stderr) == (1, told)


@pytest.mark.parametrize("limit", range(6, 16))
def test_it_names_the_limit_and_what_helps(tmp_path: Path, limit: int) -> None:
    done = list_domains(limit, tmp_path)
    line = done.stderr.removesuffix("\n")
    assert done.returncode == 1
    assert line.startswith("xlpy: ")
    assert "\n" not in line
    told = f"Too many open files; the limit is {limit}: raise it (ulimit -n)"
    assert line.endswith((told, "sim start`"))
    assert line.endswith(told) or limit > 8  # an event loop needs as many
