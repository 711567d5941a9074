"""Which library is used, and with which interface."""

from pathlib import Path

import pytest

from libxlpy_helper.options import Options
from libxlpy_helper.xen import library
from libxlpy_helper.xen.library import abi_of, candidates, open_library, running_minor
from libxlpy_helper.xen.xenguest import ABI_4_14, ABI_4_15, ABI_4_22, LoadError

XEN = Options(1, "xen", "", "")


@pytest.mark.parametrize(
    ("minor", "abi"),
    [
        (14, ABI_4_14),
        (15, ABI_4_15),
        (17, ABI_4_15),
        (20, ABI_4_15),
        (21, ABI_4_15),
        (22, ABI_4_22),
        (40, ABI_4_22),
    ],
)
def test_interface_of_each_release(minor: int, abi: int) -> None:
    assert abi_of(minor) == abi


@pytest.mark.parametrize("minor", [0, 11, 13])
def test_older_release_is_refused_with_the_range(minor: int) -> None:
    with pytest.raises(LoadError) as caught:
        abi_of(minor)
    assert str(caught.value) == (
        f"found only libxenguest.so.4.{minor}: Xen 4.14 to 4.22 is needed "
        "(later ones, up to 4.40, are taken for 4.22)"
    )


def test_highest_is_looked_for_first_unless_the_running_one_is_known() -> None:
    assert candidates(None) == list(range(40, -1, -1))
    assert candidates(17) == [17, *range(40, 17, -1), *range(16, -1, -1)]
    assert candidates(99) == candidates(None)


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Minor versions that the loader is to find; none is really there."""
    found: list[int] = []
    names = {library.SONAME.format(minor): minor for minor in range(41)}
    monkeypatch.setattr(library, "can_load", lambda name: names[name] in found)
    monkeypatch.setattr(library, "running_minor", lambda: None)
    return found


def test_nothing_installed_is_one_clear_line(installed: list[int]) -> None:
    with pytest.raises(LoadError, match=r"no libxenguest\.so\.4\.N found: is this"):
        open_library(XEN)


def test_only_an_old_one_is_refused_by_name(installed: list[int]) -> None:
    installed.append(11)
    with pytest.raises(LoadError, match=r"found only libxenguest\.so\.4\.11"):
        open_library(XEN)


def test_the_highest_is_opened(installed: list[int]) -> None:
    installed += [11, 17, 20]
    with pytest.raises(LoadError, match=r"cannot load: libxenguest\.so\.4\.20"):
        open_library(XEN)


@pytest.mark.parametrize(("text", "minor"), [("17\n", 17), ("", None), ("x", None)])
def test_running_version_is_read(tmp_path: Path, text: str, minor: int | None) -> None:
    path = tmp_path / "minor"
    path.write_text(text)
    assert running_minor(path) == minor
    assert running_minor(tmp_path / "missing") is None
