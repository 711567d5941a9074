"""What dies, hangs or is taken away while a real guest is saved: the promise holds."""

import json
import os
import signal
import time
import uuid
from pathlib import Path

import pytest

from libxlpy import Deadlines, GuestState
from libxlpy_helper.xen.xenguest import Handle

from .faults import COPYING, OLD, request_of, unharmed
from .following import Following, unread_pipe
from .saving import failure_of_save
from .support import (
    Guest,
    assert_went_on,
    domid_of,
    forget_domids,
    helpers,
    ok,
    run,
    wait_for,
)

pytestmark = pytest.mark.xen

REBOOT, CRASH = 1, 3
#: The guest is not asked for as long as by default.
IMPATIENT = Deadlines(suspend_ack=10.0, suspend=10.0)
#: Hides both ways to the hypervisor, in a mount namespace of its own.
NO_PRIVCMD = 'for d in /dev/xen /proc/xen; do mount -t tmpfs no $d; done; exec "$@"'


# -- our own processes -----------------------------------------------------------------


@pytest.mark.core("helper killed", "helper stopped")
def test_helper_is_killed_crashes_or_hangs_in_a_live_save(
    make_guest, saved: Path
) -> None:
    guest = make_guest("pvh")
    for number, told in (
        (signal.SIGKILL, "signal SIGKILL"),
        (signal.SIGSEGV, "signal SIGSEGV"),
        (signal.SIGSTOP, "heartbeat"),
    ):
        with unharmed(guest, saved):
            with Following("save", "--live", guest.name, saved) as save:
                save.until_doing(COPYING)
                os.kill(save.helper, number)
                line = save.failure()
            assert told in line
            assert "guest is running" in line


@pytest.mark.core("parent killed")
def test_parent_is_killed(make_guest, saved: Path) -> None:
    """The helper alone lets the guest run on, in log-dirty mode or suspended."""
    guest = make_guest("pvh")
    pipe = saved.with_name("pipe")
    for live, phase in ((["--live"], "libxc"), ([], "suspended")):
        with (
            unharmed(guest, saved),
            unread_pipe(pipe),
            Following("save", *live, guest.name, pipe) as save,
        ):
            save.until_phase(phase)
            save.process.kill()
            wait_for("the helper's end", lambda: None if helpers() else True)


def test_second_save_is_refused_and_first_is_unharmed(make_guest, saved: Path) -> None:
    guest = make_guest("pvh")
    pipe = saved.with_name("pipe")
    with (
        unharmed(guest, saved),
        unread_pipe(pipe),
        Following("save", guest.name, pipe) as first,
    ):
        first.until_phase("suspended")
        second = run("xlpy", "save", guest.name, saved)
        assert second.returncode == 1
        [line] = second.stderr.splitlines()
        assert str(first.process.pid) in line
        assert first.process.poll() is None
        first.process.send_signal(signal.SIGINT)
        assert "guest is running" in first.failure(130)


# -- the guest -------------------------------------------------------------------------


def test_guest_is_destroyed_while_it_is_copied(make_guest, saved: Path) -> None:
    guest = make_guest("pvh")
    saved.write_bytes(OLD)
    with Following("save", "--live", guest.name, saved) as save:
        save.until_doing(COPYING)
        ok("xl", "destroy", guest.name)
        line = save.failure()
    assert "guest is gone" in line
    assert saved.read_bytes() == OLD


def test_guest_never_acknowledges_or_never_suspends(deaf: Guest, saved: Path) -> None:
    domid = domid_of(deaf)

    def acknowledge() -> None:
        wait_for("the request", lambda: request_of(domid) == "suspend" or None)
        ok("xenstore-write", f"/local/domain/{domid}/control/shutdown", "")

    with unharmed(deaf, saved):
        error = failure_of_save(domid, IMPATIENT)
        assert "did not answer the request to suspend" in str(error)
        assert error.guest is GuestState.RUNNING
        assert request_of(domid) == ""

        error = failure_of_save(domid, IMPATIENT, acknowledge)
        assert "agreed to suspend but did not" in str(error)
        assert error.guest is GuestState.RUNNING


@pytest.mark.parametrize("reason", [CRASH, REBOOT])
def test_guest_ends_while_it_is_waited_for(
    deaf: Guest, saved: Path, handle: Handle, reason: int
) -> None:
    with Following("save", deaf.name, saved) as save:
        save.until_phase("suspend")
        asked = time.monotonic()
        handle.shutdown(domid_of(deaf), reason)
        line = save.failure()
    assert ("crash" if reason == CRASH else "reboot") in line or "gone" in line
    assert "guest is running" not in line
    assert "deadline" not in line, time.monotonic() - asked
    assert not saved.exists()


def test_guest_is_destroyed_while_it_is_waited_for(deaf: Guest, saved: Path) -> None:
    with Following("save", deaf.name, saved) as save:
        save.until_phase("suspend")
        ok("xl", "destroy", deaf.name)
        line = save.failure()
    assert "guest is gone" in line
    assert not saved.exists()


def test_domid_is_another_domains_when_we_look(make_guest, saved: Path) -> None:
    """What came to have it while the helper was dead and we were stopped is let be."""
    guest = make_guest("pvh")
    domid, other = domid_of(guest), Guest("pvh", f"{guest.name}-other")
    save_as_another(guest, other.name, saved)
    pipe = saved.with_name("pipe")
    with unread_pipe(pipe), Following("save", guest.name, pipe) as save:
        save.until_phase("suspended")
        save.process.send_signal(signal.SIGSTOP)
        os.kill(save.helper, signal.SIGKILL)
        ok("xl", "destroy", guest.name)
        forget_domids()
        guest.restore(saved)
        assert domid_of(other) == domid
        before = other.next_ticks()
        save.process.send_signal(signal.SIGCONT)
        line = save.failure()
    assert "guest is gone" in line
    assert other.running()
    assert_went_on(before, other.next_ticks(2))


def save_as_another(guest: Guest, name: str, file: Path) -> None:
    """Make a file of a guest that goes on: of another domain with the same domid."""
    [listed] = json.loads(ok("xl", "list", "-l", guest.name))
    config = listed["config"]
    config["c_info"] |= {"name": name, "uuid": str(uuid.uuid4())}
    override = file.with_name("config")
    override.write_text(json.dumps(config))
    ok("xlpy", "save", "-c", "-D", guest.name, file, override)


# -- what is around --------------------------------------------------------------------


@pytest.mark.parametrize(
    "kind", ["pv", pytest.param("pvh", marks=pytest.mark.core("disk full"))]
)
def test_disk_is_full(make_guest, tmp_path: Path, kind: str) -> None:
    """All is put right, also where Xen has no log-dirty mode to be switched off."""
    guest = make_guest(kind)
    small = tmp_path / "small"
    small.mkdir()
    ok("mount", "-t", "tmpfs", "-o", "size=16m", "small", small)
    try:
        with unharmed(guest, small / "saved"):
            done = run("xlpy", "-v", "save", guest.name, small / "saved")
            assert done.returncode == 1
            assert "log-dirty mode off" in done.stderr
            assert "FAILED" not in done.stderr
    finally:
        ok("umount", small)
    [line] = [each for each in done.stderr.splitlines() if "report: " in each]
    report = ok("xlpy", "report", Path(line.partition("report: ")[2]).stem)
    assert "No space left on device (ENOSPC)" in report
    assert "guest: running" in report


@pytest.mark.parametrize(
    ("prefix", "told"),
    [
        (["setpriv", "--reuid=65534", "--clear-groups"], "root"),
        (
            ["unshare", "-m", "sh", "-c", NO_PRIVCMD, "sh"],
            "no Xen here",
        ),
    ],
    ids=["not root", "not in dom0"],
)
def test_hypervisor_can_not_be_asked(
    tmp_path: Path, prefix: list[str], told: str
) -> None:
    done = run(*prefix, "xlpy", "save", "guest", tmp_path / "saved")
    assert done.returncode == 1
    [line] = done.stderr.splitlines()
    assert told in line
    assert not list(tmp_path.iterdir())
