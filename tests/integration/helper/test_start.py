"""How a helper starts, and how it says that it can't."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from libxlpy.process.packages import helper_python
from libxlpy_protocol.enums import Mode, Op
from libxlpy_protocol.messages import Log
from tests.support.compiling import compile_fake
from tests.support.helper_driver import FakeHost, Parent


def test_hello_names_the_library_and_comes_before_its_log_lines(host: FakeHost) -> None:
    with host.helper() as parent:
        first = parent.next().message
        assert first == parent.greet_answered(first)
        assert first.library == str(host.library)
        assert first.library_version == "4.20"
        assert isinstance(parent.next().message, Log)


def test_missing_host_ends_with_status_4(host: FakeHost) -> None:
    (host.directory / "domains").unlink()
    with host.helper() as parent:
        assert parent.wait() == 4
        assert "xc_interface_open: No such file" in parent.read_stderr()
        assert os.read(parent.read_fd, 1) == b""


def test_unloadable_library_ends_with_status_3(host: FakeHost) -> None:
    host.library = host.directory / "domains"
    with host.helper() as parent:
        assert parent.wait() == 3
        assert "cannot load" in parent.read_stderr()


def test_library_without_a_function_ends_with_status_3(
    host: FakeHost, tmp_path: Path
) -> None:
    host.library = compile_fake(tmp_path / "no.so", "-Dxc_domain_resume=renamed")
    with host.helper() as parent:
        assert parent.wait() == 3
        assert "function not found: xc_domain_resume" in parent.read_stderr()


def test_no_xen_library_ends_with_status_3_and_the_supported_range() -> None:
    with Parent(["--backend", "xen"]) as parent:
        assert parent.wait() == 3
        assert "Xen 4.14 to 4.22 is needed" in parent.read_stderr()


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--backend", "kvm"],
        ["--backend", "simxen"],
        ["--backend", "xen", "--library", "/lib/x.so"],
        ["--backend", "xen", "extra"],
    ],
)
def test_wrong_arguments_end_with_status_2(arguments: list[str]) -> None:
    with Parent(arguments) as parent:
        assert parent.wait() == 2
        assert len(parent.read_stderr().splitlines()) == 1


def test_started_by_hand_ends_with_status_2(host: FakeHost) -> None:
    argv = [sys.executable, "-I", "-m", "libxlpy_helper", "--parent", str(os.getpid())]
    done = subprocess.run(
        [*argv, *host.arguments], stdin=subprocess.DEVNULL, capture_output=True
    )
    assert done.returncode == 2
    assert b"libxlpy starts this program" in done.stderr
    assert done.stdout == b""


def test_wrong_parent_ends_with_status_2(host: FakeHost) -> None:
    with Parent([*host.arguments]) as parent:
        argv = [*parent.process.args]  # type: ignore[misc]
        argv[argv.index("--parent") + 1] = "1"
        done = subprocess.run(argv, input=b"", capture_output=True)
    assert done.returncode == 2
    assert b"not the parent" in done.stderr


def test_no_environment_variable_reaches_it(
    host: FakeHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    poison = host.directory / "poison"
    poison.mkdir()
    (poison / "msgpack.py").write_text("raise SystemExit(99)")
    monkeypatch.setenv("PYTHONPATH", str(poison))
    monkeypatch.chdir(poison)
    with host.helper() as parent:
        parent.greet()


def test_inherited_descriptors_that_are_not_named_are_closed(host: FakeHost) -> None:
    stream, other = os.pipe()
    try:
        host.script("suspend")
        with host.helper([stream, other]) as parent:
            parent.greet()
            parent.start(domid=7, stream_fd=other)
            parent.until(lambda message: "save dom" in getattr(message, "text", ""))
            kept = Path(f"/proc/{parent.process.pid}/fd")
            ends = {Path(f"/proc/self/fd/{fd}").readlink() for fd in (stream, other)}
            held = [path.name for path in kept.iterdir() if path.readlink() in ends]
            assert held == [str(other)]
    finally:
        os.close(stream)
        os.close(other)


def test_it_has_no_new_privileges_and_leaves_no_core(host: FakeHost) -> None:
    with host.helper() as parent:
        parent.greet()
        status = Path(f"/proc/{parent.process.pid}/status").read_text()
        assert "NoNewPrivs:\t1" in status
        limits = Path(f"/proc/{parent.process.pid}/limits").read_text()
        assert re.search("core file size *0 *0 ", limits)


#: Tells what the kernel would write of it.
LIMITS = """
grep -o 'core file size *0 *0' /proc/self/limits
cat /proc/self/coredump_filter
"""


def test_what_the_helper_becomes_leaves_no_core() -> None:
    argv = [*helper_python("libxlpy_helper.exec_into"), "--parent", str(os.getpid())]
    done = subprocess.run(
        [*argv, "/bin/sh", "-c", LIMITS], capture_output=True, text=True, check=True
    )
    limit, shown = done.stdout.splitlines()
    assert limit.split()[-2:] == ["0", "0"]
    assert int(shown, 16) == 0


def test_ops_helper_ends_with_status_0_at_end_of_file(host: FakeHost) -> None:
    with host.helper() as parent:
        parent.greet()
        parent.start(Mode.OPS, calls=())
        assert parent.op(Op.PAUSE, 7).retval == 0
        parent.hang_up()
        assert parent.wait() == 0
