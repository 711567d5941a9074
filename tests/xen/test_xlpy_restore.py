"""`xlpy restore` of our own files and of files of the real `xl save`."""

import json
import os
import signal
from pathlib import Path

import pytest

from libxlpy_helper.xen.xenguest import Handle

from .following import Following
from .restoring import (
    BACKENDS,
    StuckPipe,
    devices,
    monitors,
)
from .support import (
    Guest,
    assert_went_on,
    domid_has_just_ended,
    domid_of,
    left_of_domains,
    ok,
    run,
    wait_for,
)

pytestmark = pytest.mark.xen

POWEROFF, REBOOT, CRASH = 0, 1, 3
#: State of a back-end that waits for its guest. Xen: public/io/xenbus.h.
INIT_WAIT = "2"
NOTHING_LEFT = "no domain is left of it"


def configured(name: str) -> object:
    """Return the devices of a domain that libxl has in its configuration."""
    (listed,) = json.loads(ok("xl", "list", "-l", name))
    return {key: listed["config"].get(key) for key in ("nics", "disks")}


def read(path: str) -> str:
    """Return what a node of xenstore has; "" if there is none."""
    return run("xenstore-read", path).stdout.strip()


def no_monitor() -> None:
    wait_for("the monitor's end", lambda: None if monitors() else True)


@pytest.mark.core("disk and interface")
def test_comes_back_with_disk_and_interface(equipped: Guest, saved: Path) -> None:
    before, had = equipped.ticks(), devices(domid_of(equipped))
    assert {"qdisk/51712/params", "vif/0/mac"} <= had.keys()
    ok("xlpy", "save", equipped.name, saved)
    done = run("xlpy", "restore", saved)
    assert done.returncode == 0, done.stderr
    assert f"\nrestored '{equipped.name}' (domid " in done.stderr
    assert_went_on(before, equipped.next_ticks(2))
    assert devices(domid_of(equipped)) == had
    assert len(monitors()) == 1
    equipped.destroy()
    no_monitor()


@pytest.mark.parametrize("kind", ["pv", "hvm"])
def test_our_file_goes_on(make_guest, saved: Path, kind: str) -> None:
    guest = make_guest(kind)
    before = guest.ticks()
    ok("xlpy", "save", guest.name, saved)
    ok("xlpy", "restore", saved)
    assert_went_on(before, guest.next_ticks(2))


def test_as_with_xl_restore(equipped: Guest, saved: Path) -> None:
    ok("xl", "save", equipped.name, saved)
    ok("xl", "restore", saved)
    theirs = devices(domid_of(equipped)), configured(equipped.name)
    equipped.destroy()
    ok("xlpy", "restore", saved)
    assert (devices(domid_of(equipped)), configured(equipped.name)) == theirs


def test_interface_is_there_before_the_memory_is(equipped: Guest, saved: Path) -> None:
    """Whoever migrates does not wait for it, suspended, at the end."""
    ok("xl", "save", equipped.name, saved)
    with StuckPipe(saved) as pipe, Following("restore", pipe.path) as restore:
        restore.until_phase("memory")
        pipe.wait_read()
        domid = domid_of(equipped)
        state = f"{BACKENDS}/vif/{domid}/0/state"
        wait_for("its interface", lambda: read(state) == INIT_WAIT or None)
        assert "qdisk/51712/params" not in devices(domid)
        restore.process.send_signal(signal.SIGINT)
        line = restore.failure(130)
    assert line.endswith(NOTHING_LEFT)
    assert not left_of_domains()


def test_paused_under_another_name_beside_the_first(make_guest, saved: Path) -> None:
    guest = make_guest("pvh")
    ok("xlpy", "save", "-c", guest.name, saved)
    line = run("xlpy", "restore", saved)
    assert line.returncode == 1
    assert f"name '{guest.name}' is taken by domain" in line.stderr
    assert len(line.stderr.splitlines()) == 1

    copy = Guest("pvh", f"{guest.name}-copy")
    ok("xlpy", "restore", "-p", "-e", "--name", copy.name, saved)
    assert not copy.gone()
    assert not copy.running()
    ok("xl", "unpause", copy.name)
    copy.next_ticks(2)
    listed = json.loads(ok("xlpy", "list", "--json"))
    uuids = [domain["uuid"] for domain in listed]
    assert len(set(uuids)) == len(uuids) == 3
    assert guest.running()


def test_what_can_not_be_built_is_one_line(
    make_guest, saved: Path, tmp_path: Path
) -> None:
    guest = make_guest("pvh")
    domid = domid_of(guest)
    ok("xlpy", "save", "-D", guest.name, saved)
    other = tmp_path / "config"
    other.write_text('name = "text"\n')
    done = run("xlpy", "restore", other, saved)
    assert done.returncode == 1
    assert "configuration can't be used: it is not JSON" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    with Following("restore", saved) as restore:
        restore.until_phase("hello")
        domid_has_just_ended(domid)
        line = restore.failure()
    assert "domain id recently used" in line
    assert len(line.splitlines()) == 1
    assert guest.gone()


# -- ends of the build helper ----------------------------------------------------------


def test_killed_helper_leaves_nothing(equipped: Guest, saved: Path) -> None:
    ok("xl", "save", equipped.name, saved)
    for phase in ("hello", "build", "memory", "devices"):
        with Following("restore", saved) as restore:
            restore.until_phase(phase)
            os.kill(restore.helper, signal.SIGKILL)
            line = restore.failure()
        assert "helper died: signal SIGKILL" in line
        assert line.endswith(NOTHING_LEFT)
        assert equipped.gone()
        assert not left_of_domains()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_helper_that_is_stopped_while_it_reads(
    stored: Guest, saved: Path, number: int
) -> None:
    with StuckPipe(saved) as pipe, Following("restore", pipe.path) as restore:
        restore.until_phase("memory")
        pipe.wait_read()
        os.kill(restore.helper, number)
        line = restore.failure()
    assert line.endswith(NOTHING_LEFT)
    assert stored.gone()


def test_interrupted_restore_leaves_nothing(stored: Guest, saved: Path) -> None:
    with StuckPipe(saved) as pipe, Following("restore", pipe.path) as restore:
        restore.until_phase("memory")
        pipe.wait_read()
        restore.process.send_signal(signal.SIGINT)
        line = restore.failure(130)
    assert line.endswith(NOTHING_LEFT)
    assert stored.gone()


def test_cut_file_is_named_and_leaves_nothing(stored: Guest, saved: Path) -> None:
    os.truncate(saved, saved.stat().st_size // 2)
    with Following("restore", saved) as restore:
        line = restore.failure()
    assert "the stream ends" in line
    assert line.endswith(NOTHING_LEFT)
    assert stored.gone()


# -- the monitor -----------------------------------------------------------------------


def test_monitor_restarts_and_destroys(make_guest, saved: Path, handle: Handle) -> None:
    guest = make_guest("pvh", 'on_reboot="restart"')
    ok("xlpy", "save", guest.name, saved)
    ok("xlpy", "restore", saved)
    first, ident = domid_of(guest), guest.next_ticks()[0].ident
    handle.shutdown(first, REBOOT)
    wait_for("another domain", lambda: other_than(guest, first))
    assert guest.next_ticks(2)[-1].ident != ident
    handle.shutdown(domid_of(guest), CRASH)
    wait_for("the domain to be gone", lambda: guest.gone() or None)
    no_monitor()

    ok("xlpy", "restore", saved)
    handle.shutdown(domid_of(guest), POWEROFF)
    wait_for("the domain to be gone", lambda: guest.gone() or None)
    no_monitor()


def other_than(guest: Guest, domid: int) -> bool | None:
    done = run("xl", "domid", guest.name)
    return (done.returncode == 0 and int(done.stdout) != domid) or None
