"""libxlpy-save-helper started wrongly: one line and a status."""

import errno
import subprocess
import sys
from pathlib import Path

import pytest

from libxlpy_protocol.messages import Complete
from tests.integration.helper.dropin.driver import LibxlParent, save_argv
from tests.support.helper_driver import LIMIT, FakeHost

# -- started wrongly -------------------------------------------------------------------

BAD_ARGV = {
    "nothing": ([], "libxl starts this program"),
    "unknown mode": (["--help"], "libxl starts this program"),
    "too few": (["--save-domain", "5"], "1 arguments, not 6"),
    "no number": (["--save-domain", "x", "-1", "7", "0", "8", "0"], "FD 'x' is no"),
    "empty": (["--save-domain", "", "-1", "7", "0", "8", "0"], "FD '' is no number"),
    "huge": (["--save-domain", "9" * 5000, "-1", "7", "0", "8", "0"], "is no number"),
    "stdin as stream": (
        ["--save-domain", "0", "-1", "7", "0", "8", "0"],
        "FD 0 is out",
    ),
    "dom0": (["--save-domain", "5", "-1", "0", "0", "8", "0"], "DOMID 0 is outside"),
    "flags": (["--save-domain", "5", "-1", "7", "4", "8", "0"], "FLAGS 4 is outside"),
    "callbacks": (
        ["--save-domain", "5", "-1", "7", "0", "256", "0"],
        "CALLBACKS 0x100",
    ),
    "colo": (["--save-domain", "5", "-1", "7", "0", "8", "2"], "COLO streams"),
    "domain peers": (
        ["--restore-domain", "5", "-1", "7", "1", "40000", "2", "0", "768", "0"],
        "STORE_DOMID 40000 is outside 0..32767",
    ),
}


@pytest.mark.parametrize("case", BAD_ARGV)
def test_bad_argv_is_one_line_and_status_2(host: FakeHost, case: str) -> None:
    argv, text = BAD_ARGV[case]
    with LibxlParent(host, argv) as parent:
        assert parent.wait() == 2
        said = parent.stderr()
    assert text in said
    assert said.startswith("libxlpy-save-helper: ")
    assert said.count("\n") == 1


def test_stream_that_is_not_open_is_a_failed_operation(host: FakeHost) -> None:
    with LibxlParent(host, save_argv(99)) as parent:
        assert parent.finish() == Complete(-1, errno.EBADF, False)


def test_terminal_instead_of_pipes_is_refused(host: FakeHost) -> None:
    with Path("/dev/zero").open("rb") as zero:
        done = subprocess.run(
            [sys.executable, "-m", "libxlpy_helper.dropin.main", *save_argv(5)],
            stdin=zero,
            capture_output=True,
            text=True,
            check=False,
            timeout=LIMIT,
        )
    assert done.returncode == 2
    assert "fd 0 is no pipe" in done.stderr


STEERED = {"PYTHONSTARTUP": "x", "PYTHONINSPECT": "1", "PYTHONPATH": "{folder}"}


@pytest.mark.parametrize("env", [STEERED, {}], ids=["steered", "folder only"])
def test_environment_and_folder_of_the_caller_have_no_say(
    tmp_path: Path, env: dict[str, str]
) -> None:
    """What is planted for Python isn't run, or not again once it is isolated."""
    trap = "import os; os.write(2, b'trapped\\n')\n"
    for name in ("selectors", "threading", "msgpack", "signal"):
        (tmp_path / f"{name}.py").write_text(trap)
    done = subprocess.run(
        [sys.executable, "-m", "libxlpy_helper.dropin.main", "--save-domain"],
        cwd=tmp_path,
        env={name: value.format(folder=tmp_path) for name, value in env.items()},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=LIMIT,
    )
    assert done.returncode == 2
    assert done.stderr == "libxlpy-save-helper: --save-domain: 0 arguments, not 6\n"


#: What a console script does; to start over is another status.
SCRIPT = """
import os, sys
from libxlpy_helper.dropin.main import main
os.execv = lambda *_: os._exit(99)
main()
"""


@pytest.mark.parametrize(
    ("env", "flags", "status"),
    [
        ({}, [], 2),
        ({}, ["-I"], 2),
        ({"PYTHONPATH": "/nowhere"}, [], 99),
        ({"PYTHONDONTWRITEBYTECODE": "1"}, [], 99),
        ({"PYTHONPATH": "/nowhere"}, ["-I"], 2),
    ],
)
def test_it_starts_itself_over_only_if_something_steers_it(
    env: dict[str, str], flags: list[str], status: int
) -> None:
    argv = [sys.executable, *flags, "-c", SCRIPT]
    done = subprocess.run(argv, env=env, stdin=-3, stderr=-3, timeout=LIMIT)
    assert done.returncode == status


def test_packages_of_the_users_own_make_it_start_over(tmp_path: Path) -> None:
    code = f"import site, sys; site.USER_SITE = {str(tmp_path)!r}\n"
    code += f"sys.path.append(site.USER_SITE)\n{SCRIPT}"
    argv = [sys.executable, "-c", code]
    assert subprocess.run(argv, env={}, stdin=-3, timeout=LIMIT).returncode == 99


def test_library_that_is_missing_is_status_3(host: FakeHost, stream_fd: int) -> None:
    host.library = host.directory / "none.so"
    with LibxlParent(host, save_argv(stream_fd), [stream_fd]) as parent:
        assert parent.wait() == 3
        assert "none.so" in parent.stderr()


def test_hypervisor_that_does_not_open_is_status_4(
    host: FakeHost, stream_fd: int
) -> None:
    (host.directory / "domains").unlink()
    with LibxlParent(host, save_argv(stream_fd), [stream_fd]) as parent:
        assert parent.wait() == 4
