"""Streams without their END, or a part of it: libxl itself restores them."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from .following import Following
from .restoring import fed
from .support import Guest, ok, run
from .test_drop_in import WITH_OURS

pytestmark = pytest.mark.xen

END = 8  # bytes
KINDS = [pytest.param("pvh", marks=pytest.mark.core("END")), "pv", "hvm"]


def cuts(file: Path) -> Iterator[int]:
    """Cut a file by ever more bytes; give how many it lacks."""
    size = file.stat().st_size
    for missing in (1, END // 2, END, END + 1):
        os.truncate(file, size - missing)
        yield missing


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_runs_without_end(
    store: Callable[[str], Guest], saved: Path, kind: str
) -> None:
    guest = store(kind)
    for missing in cuts(saved):
        with Following("restore", saved) as restore:
            line = restore.failure()
        assert f"restore from {saved} failed: " in line
        assert "record at offset" in line
        assert "the stream ends" in line
        assert guest.gone()
        with fed(saved) as pipe, Following("restore", pipe) as restore:
            line = restore.failure()
        assert f"restore from {pipe} failed: " in line
        assert line.endswith("no domain is left of it")
        if missing <= END:
            assert "the stream ends before its END" in line, missing
        assert guest.gone()


@pytest.mark.parametrize("kind", KINDS)
def test_whole_stream_from_a_pipe_goes_on(
    store: Callable[[str], Guest], saved: Path, kind: str
) -> None:
    guest = store(kind)
    with fed(saved) as pipe:
        ok("xlpy", "restore", pipe)
    assert {tick.memory for tick in guest.next_ticks(2)} == {"ok"}


@pytest.mark.parametrize("kind", ["pvh", "hvm"])
def test_drop_in_tells_xl(
    store: Callable[[str], Guest], saved: Path, kind: str
) -> None:
    """From a pipe it sees END only where a guest has no device model."""
    guest = store(kind)
    for missing in cuts(saved):
        done = run(*WITH_OURS, "xl", "restore", saved)
        assert done.returncode != 0, missing
        assert "the stream ends before its END" in done.stderr
        assert guest.gone()
        if kind == "pvh":
            with fed(saved) as pipe:
                done = run(*WITH_OURS, "xl", "restore", pipe)
            assert done.returncode != 0, missing
            assert guest.gone()
