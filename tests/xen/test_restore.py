"""Files of the real `xl save`, restored by libxenlight in our build helper."""

import os
import signal
from pathlib import Path
from typing import Any

import pytest

from libxlpy_protocol.messages import Complete

from .builder import MODULE, Build
from .restoring import StuckPipe
from .support import Guest, domid_of, ok, wait_for

pytestmark = pytest.mark.xen


def test_paused_stays_paused(stored: Guest, saved: Path) -> None:
    with Build(saved, "--paused") as build:
        assert build.finish() == Complete(0, 0, False), build.logs()
    assert not stored.running()
    assert not stored.gone()
    ok("xl", "unpause", stored.name)
    assert {tick.memory for tick in stored.next_ticks(2)} == {"ok"}


def half(file: Path) -> None:
    """Cut a file in the middle of the guest's memory."""
    with file.open("r+b") as opened:
        opened.truncate(file.stat().st_size // 2)


def test_cut_file_leaves_no_domain(stored: Guest, saved: Path) -> None:
    half(saved)
    with Build(saved) as build:
        done = build.finish()
        assert done.retval < 0
        assert "could not be built" in build.logs()
    assert stored.gone()


def test_configuration_that_is_none_leaves_no_domain(
    stored: Guest, saved: Path
) -> None:

    def spoil(config: dict[str, Any]) -> None:
        config["c_info"]["type"] = "teapot"

    with Build(saved, change=spoil) as build:
        assert build.finish().retval < 0
    assert stored.gone()


def test_abort_leaves_no_domain(stored: Guest, saved: Path) -> None:
    with StuckPipe(saved) as pipe, Build(pipe.path) as build:
        build.phase("build")
        pipe.wait_read()
        assert build.domids() == [domid_of(stored)]
        build.abort()
        assert build.finish().aborted
    assert stored.gone()


def test_killed_half_way_is_removed_by_another(stored: Guest, saved: Path) -> None:
    with StuckPipe(saved) as pipe, Build(pipe.path) as build:
        build.phase("build")
        pipe.wait_read()
        [domid] = build.domids()
        os.kill(build.process.pid, signal.SIGKILL)
        build.process.wait()
        uuid = ok("xenstore-read", f"/local/domain/{domid}/vm").removeprefix("/vm/")
        argv = [*MODULE, "--parent", str(os.getpid()), "--destroy", str(domid)]
        ok(*argv, "--uuid", uuid.strip())
    wait_for("the domain to be gone", lambda: stored.gone() or None)
