"""The build of the C: what is missing is said in one line, and what is made works."""

import importlib.util
import os
import platform
import re
import stat
import subprocess
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[3]
OLDER_COMPILER = """#!/bin/sh
case "$*" in *SOURCE=3*|*-clash-*|*f-protection*|*h-protection*) exit 1;; esac
exec cc "$@"
"""


@pytest.fixture
def builder() -> ModuleType:
    path = ROOT / "helper" / "build_xenguest.py"
    spec = importlib.util.spec_from_file_location("build_xenguest", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_missing_compiler_names_the_package(
    builder: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(builder.BuildError) as caught:
        builder.build(tmp_path)
    assert str(caught.value) == (
        "libxlpy: no C compiler found; install one: apt install gcc libc6-dev"
    )


def test_wrong_cc_is_named(
    builder: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("CC", "/nonexistent/cc -m64")
    with pytest.raises(builder.BuildError, match=r"'/nonexistent/cc' \(from \$CC\)"):
        builder.build(tmp_path)


def test_missing_python_headers_name_the_package(
    builder: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(builder.sysconfig, "get_path", lambda _: str(tmp_path))
    with pytest.raises(builder.BuildError, match="apt install python3-dev"):
        builder.build(tmp_path)


def test_failing_compiler_is_an_error(
    builder: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("CC", "false")
    with pytest.raises(builder.BuildError, match="failed with 1"):
        builder.build(tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.timeout(300)  # compiles everything
def test_everything_is_made_and_executable(
    builder: ModuleType, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    made = builder.build(tmp_path)
    names = ["_xenguest.abi3.so", "libsimxen.so", "simxen-guest"]
    assert [path.name for path in made] == names
    assert sorted(path.name for path in tmp_path.iterdir()) == names
    for path in made:
        assert stat.S_IMODE(path.stat().st_mode) == 0o755
        assert os.access(path, os.X_OK)
    assert "warning" not in capfd.readouterr().err
    for path in made:
        assert_hardened(path)


def assert_hardened(path: Path) -> None:
    """Look for what each option leaves in a file."""

    def read(*options: str) -> str:
        argv = ["readelf", "--wide", *options, str(path)]
        done = subprocess.run(argv, capture_output=True, text=True, check=True)
        return done.stdout

    symbols = read("--dyn-syms")
    assert "__stack_chk_fail" in symbols  # -fstack-protector-strong
    assert re.search(r"__\w+printf_chk\b", symbols)  # _FORTIFY_SOURCE
    assert "BIND_NOW" in read("--dynamic")
    assert "Type:                              DYN" in read("--file-header")
    segments = read("--segments")
    assert "GNU_RELRO" in segments
    assert re.search(r"GNU_STACK .* RW ", segments)
    assert not re.search(r"LOAD .* RWE ", segments)
    if platform.machine() == "x86_64":  # endbr64, where indirect branches may land
        assert path.read_bytes().count(b"\xf3\x0f\x1e\xfa") > 10


def test_hardening_is_what_the_compiler_has(
    builder: ModuleType, tmp_path: Path
) -> None:
    older = tmp_path / "older-cc"
    older.write_text(OLDER_COMPILER)
    older.chmod(0o755)
    _, *options = builder.hardened([str(older)], tmp_path)
    assert options == [
        "-fstack-protector-strong", "-U_FORTIFY_SOURCE", "-D_FORTIFY_SOURCE=2"
    ]  # fmt: skip
