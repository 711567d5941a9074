"""The build of the C: what is missing is said in one line, and what is made works."""

import importlib.util
import os
import stat
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[3]


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
