"""Which program a choice of helper stands for."""

from pathlib import Path

import pytest

from libxlpy.backend import Backend
from libxlpy.errors import NotSupported, UsageError
from libxlpy.operations import libxl_engine
from libxlpy.operations.libxl_engine import find_helper, save_argv
from libxlpy_protocol.enums import XcFlags


@pytest.fixture
def on_xen(backend: Backend, tmp_path: Path, monkeypatch) -> Backend:
    """A Xen 4.17 with its tools below ``tmp_path``."""
    monkeypatch.setattr(libxl_engine, "XEN_VERSION", tmp_path)
    monkeypatch.setattr(libxl_engine, "PROGRAM", str(tmp_path / "xen-{}"))
    (tmp_path / "major").write_text("4\n")
    (tmp_path / "minor").write_text("17\n")
    for minor in (16, 17, 18):
        program = tmp_path / f"xen-4.{minor}"
        program.write_text("#!/bin/true\n")
        program.chmod(0o755)
    return backend.replace(kind="xen", host=None)


def test_own_is_no_program(on_xen: Backend):
    assert find_helper("own", on_xen) is None


def test_libxl_is_the_program_of_the_running_xen(on_xen: Backend, tmp_path: Path):
    assert find_helper("libxl", on_xen) == tmp_path / "xen-4.17"


def test_path_is_taken_as_it_is(on_xen: Backend, tmp_path: Path):
    path = tmp_path / "xen-4.16"
    assert find_helper(f"libxl:{path}", on_xen) == path


def test_environment_has_no_say(on_xen: Backend, tmp_path: Path, monkeypatch):
    monkeypatch.setenv("LIBXL_SAVE_HELPER", str(tmp_path / "xen-4.16"))
    assert find_helper("libxl", on_xen) == tmp_path / "xen-4.17"


@pytest.mark.parametrize(("version", "word"), [("13", "4.14"), ("x", "unknown")])
def test_xen_that_is_too_old_or_unknown_is_refused(
    on_xen: Backend, tmp_path: Path, version: str, word: str
):
    (tmp_path / "minor").write_text(version)
    with pytest.raises(NotSupported, match=word):
        find_helper("libxl", on_xen)


def test_tools_that_are_not_there_are_named(on_xen: Backend, tmp_path: Path):
    (tmp_path / "xen-4.17").unlink()
    with pytest.raises(UsageError, match=r"xen-4\.17: No such file.*libxl:/path"):
        find_helper("libxl", on_xen)


def test_file_that_is_no_program_is_refused(on_xen: Backend, tmp_path: Path):
    (tmp_path / "xen-4.17").chmod(0o644)
    with pytest.raises(UsageError, match="is no program"):
        find_helper("libxl", on_xen)


def test_argv_is_libxls():
    flags = XcFlags.LIVE | XcFlags.DEBUG
    argv = save_argv(Path("/x/libxl-save-helper"), 5, 7, flags)
    program = argv.index("/x/libxl-save-helper")
    mask = 1 << 3 | 1 << 7
    assert argv[program + 1 :] == ["--save-domain", "5", "-1", "7", "3", str(mask), "0"]
