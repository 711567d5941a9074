"""Files of the real `xl save`, restored by libxenlight in our build helper."""

import os
import signal
from pathlib import Path
from typing import Any

import pytest

from libxlpy_helper.xenguest import Handle
from libxlpy_protocol.messages import Complete

from .builder import MODULE, Build
from .support import Guest, assert_went_on, domains, domid_of, ok, wait_for

pytestmark = [pytest.mark.xen, pytest.mark.long]

REBOOT, CRASH = 1, 3


@pytest.fixture(params=["pv", "pvh", "hvm"])
def any_guest(request, make_guest) -> Guest:
    """A running guest of each type."""
    return make_guest(request.param)


def test_file_of_xl_goes_on(any_guest: Guest, saved: Path) -> None:
    before = any_guest.ticks()
    ok("xl", "save", any_guest.name, saved)
    with Build(saved) as build:
        assert build.finish() == Complete(0, 0, False), build.logs()
    assert_went_on(before, any_guest.next_ticks(3))


def test_paused_stays_paused(make_guest, saved: Path) -> None:
    guest = make_guest("pvh")
    before = guest.ticks()
    ok("xl", "save", guest.name, saved)
    with Build(saved, "--paused") as build:
        assert build.finish() == Complete(0, 0, False), build.logs()
    assert not guest.running()
    assert not guest.gone()
    ok("xl", "unpause", guest.name)
    assert_went_on(before, guest.next_ticks(3))


def half(file: Path) -> None:
    """Cut a file in the middle of the guest's memory."""
    with file.open("r+b") as opened:
        opened.truncate(file.stat().st_size // 2)


def test_cut_file_leaves_no_domain(make_guest, saved: Path) -> None:
    guest = make_guest("pvh")
    ok("xl", "save", guest.name, saved)
    half(saved)
    with Build(saved) as build:
        done = build.finish()
        assert done.retval < 0
        assert "could not be built" in build.logs()
    assert guest.gone()


def test_configuration_that_is_none_leaves_no_domain(make_guest, saved: Path) -> None:
    guest = make_guest("pvh")
    ok("xl", "save", guest.name, saved)

    def spoil(config: dict[str, Any]) -> None:
        config["c_info"]["type"] = "teapot"

    with Build(saved, change=spoil) as build:
        assert build.finish().retval < 0
    assert guest.gone()


def stuck_stream(file: Path) -> tuple[Path, int]:
    """Make a pipe that gives half of a file and then nothing; its writing end."""
    half(file)
    path = file.with_name("pipe")
    os.mkfifo(path)
    return path, os.open(path, os.O_RDWR)


def test_abort_leaves_no_domain(make_guest, saved: Path) -> None:
    guest = make_guest("pvh")
    ok("xl", "save", guest.name, saved)
    path, keep = stuck_stream(saved)
    feeder = os.posix_spawn("/bin/sh", ["sh", "-c", f"cat {saved} >{path}"], os.environ)
    try:
        with Build(path) as build:
            build.phase("build")
            assert os.waitpid(feeder, 0)[1] == 0  # all was read, more is waited for
            assert build.domids() == [int(ok("xl", "domid", guest.name))]
            build.abort()
            assert build.finish().aborted
    finally:
        os.close(keep)
        path.unlink()
    assert guest.gone()


def test_killed_half_way_is_removed_by_another(make_guest, saved: Path) -> None:
    guest = make_guest("pvh")
    ok("xl", "save", guest.name, saved)
    path, keep = stuck_stream(saved)
    feeder = os.posix_spawn("/bin/sh", ["sh", "-c", f"cat {saved} >{path}"], os.environ)
    try:
        with Build(path) as build:
            build.phase("build")
            assert os.waitpid(feeder, 0)[1] == 0
            [domid] = build.domids()
            os.kill(build.process.pid, signal.SIGKILL)
            build.process.wait()
        uuid = ok("xenstore-read", f"/local/domain/{domid}/vm").removeprefix("/vm/")
        argv = [*MODULE, "--parent", str(os.getpid()), "--destroy", str(domid)]
        ok(*argv, "--uuid", uuid.strip())
    finally:
        os.close(keep)
        path.unlink()
    wait_for("the domain to be gone", lambda: guest.gone() or None)


# -- the monitor -----------------------------------------------------------------------


def test_monitor_does_what_the_configuration_says(
    make_guest, saved: Path, handle: Handle
) -> None:
    guest = make_guest("pvh")
    ok("xl", "save", guest.name, saved)

    def policies(config: dict[str, Any]) -> None:
        config["on_reboot"] = "restart"
        config["on_crash"] = "destroy"

    with Build(saved, "--monitor", change=policies) as build:
        assert build.finish() == Complete(0, 0, False), build.logs()
    first, ident = domid_of(guest), guest.next_ticks()[0].ident
    handle.shutdown(first, REBOOT)
    wait_for("a new domain", lambda: newer(guest, first))
    assert guest.next_ticks(2)[-1].ident != ident
    handle.shutdown(domid_of(guest), CRASH)
    wait_for("the domain to be gone", lambda: guest.gone() or None)
    wait_for("the monitor's end", lambda: None if monitors() else True)


def newer(guest: Guest, than: int) -> bool | None:
    return (guest.name in domains() and domid_of(guest) > than) or None


def monitors() -> list[Path]:
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if b"libxlpy_helper.monitor" in path.read_bytes():
                found.append(path)
        except OSError:
            continue
    return found
