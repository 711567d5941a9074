"""A real guest migrates, by `xlpy` and the real `xl` in each part."""

import os
import signal
from pathlib import Path

import pytest

from .faults import COPYING
from .following import Following
from .migrating import (
    AWAY,
    INCOMING,
    OURS,
    SSH,
    TARGET,
    XL,
    between,
    jobs,
    known,
    migrate,
    moved,
    settle,
    stays,
    told,
)
from .restoring import devices, monitors
from .support import (
    Guest,
    command_lines,
    domains,
    domid_of,
    has_shadow_paging,
    helpers,
    ok,
    run,
    wait_for,
)

pytestmark = pytest.mark.xen

SUCCESS = "Migration successful."


# -- who sends, who receives -----------------------------------------------------------


@pytest.mark.cell
@pytest.mark.parametrize(
    ("kind", "sender", "receiver"),
    [
        pytest.param("pvh", OURS, XL, marks=pytest.mark.core("migration to xl")),
        ("hvm", OURS, XL),
        pytest.param("pvh", XL, OURS, marks=pytest.mark.core("migration from xl")),
        ("hvm", XL, OURS),
        ("pvh", OURS, OURS),
        ("hvm", OURS, OURS),
    ],
)
def test_goes_on_whoever_sends_and_receives(
    make_guest, kind: str, sender: str, receiver: str
) -> None:
    guest = make_guest(kind)
    with moved(guest):
        said = migrate(guest, sender, receiver)
    assert SUCCESS in said
    assert len(monitors()) == (receiver == OURS)


def test_moves_again_and_can_be_saved(make_guest, saved: Path) -> None:
    """On one host libxl removes a node of both with the one that has left."""
    guest = make_guest("pvh")
    for _ in range(2):
        with moved(guest):
            migrate(guest, OURS, OURS)
    ok("xlpy", "save", guest.name, saved)
    ok("xlpy", "restore", "-e", saved)
    guest.console = Guest(guest.kind, guest.name).console
    assert {tick.memory for tick in guest.next_ticks(2)} == {"ok"}
    guest.destroy()
    wait_for("the monitors' end", lambda: None if monitors() else True)


@pytest.mark.cell("PV, suspended first if Xen can't log its writes")
@pytest.mark.parametrize("receiver", [OURS, XL])
def test_pv_guest_is_suspended_first_where_its_writes_are_not_logged(
    make_guest, receiver: str
) -> None:
    guest = make_guest("pv")
    if not has_shadow_paging():
        with stays(guest):
            words = ("migrate", "-s", "", guest.name, "xlpy migrate-receive")
            done = run("xlpy", *words)
        assert done.returncode == 1
        assert "no log-dirty mode for PV guests" in done.stderr
        assert "--no-live" in done.stderr
    options = [] if has_shadow_paging() else ["--no-live"]
    with moved(guest):
        migrate(guest, OURS, receiver, *options)


@pytest.mark.cell("PVH, with a disk and an interface")
@pytest.mark.parametrize("receiver", [OURS, XL])
@pytest.mark.parametrize("sender", [OURS, XL])
def test_disk_and_interface_come_along(
    equipped: Guest, sender: str, receiver: str
) -> None:
    had = devices(domid_of(equipped))
    assert {"qdisk/51712/params", "vif/0/mac"} <= had.keys()
    with moved(equipped):
        migrate(equipped, sender, receiver)
    assert devices(domid_of(equipped)) == had


@pytest.mark.cell("paused, and stays so")
@pytest.mark.parametrize(
    ("kind", "sender", "receiver"),
    [("hvm", OURS, OURS), ("pvh", OURS, XL), ("hvm", XL, OURS)],
)
def test_paused_until_it_is_unpaused(
    make_guest, kind: str, sender: str, receiver: str
) -> None:
    guest = make_guest(kind)
    with moved(guest, paused=True):
        if sender == receiver:
            migrate(guest, sender, receiver, "-p")
        else:
            # xl tells the receiver by its command only, which here is ours to give.
            words = (sender, "migrate", "-s", "", guest.name)
            done = run(*words, f"{receiver} migrate-receive -p")
            assert done.returncode == 0, done.stderr
    assert "p" in domains()[guest.name]
    ok("xl", "unpause", guest.name)
    assert {tick.memory for tick in guest.next_ticks(2)} == {"ok"}


@pytest.mark.parametrize("receiver", [OURS, XL])
def test_paused_guest_stays_paused(make_guest, receiver: str) -> None:
    """It runs for as long as it takes to suspend, and no longer."""
    guest = make_guest("pvh")
    with moved(guest, paused=True):
        ok("xl", "pause", guest.name)
        options = [] if receiver == OURS else ["-p"]
        target = TARGET if receiver == OURS else "xl migrate-receive -p"
        command = SSH if receiver == OURS else ""
        words = ("xlpy", "migrate", *options, "-s", command, guest.name, target)
        done = run(*words)
        assert done.returncode == 0, done.stderr
    assert "p" in domains()[guest.name]
    ok("xl", "unpause", guest.name)
    assert {tick.memory for tick in guest.next_ticks(2)} == {"ok"}


# -- what fails ------------------------------------------------------------------------


def receivers(tool: str, *options: str) -> list[int]:
    """Return the pids of the receivers that run, with these options."""
    found = []
    for pid, words in command_lines():
        programs = {word.rpartition("/")[2] for word in words}
        if {tool, "migrate-receive", *options} <= programs:
            found.append(pid)
    return found


def test_refused_before_anything_is_copied(equipped: Guest, tmp_path: Path) -> None:
    """The file of its disk has another name by now; the guest has it open."""
    (tmp_path / "disk").rename(tmp_path / "elsewhere")
    with stays(equipped):
        done = run("xlpy", "migrate", "-s", SSH, equipped.name, TARGET)
    (tmp_path / "elsewhere").rename(tmp_path / "disk")
    assert done.returncode == 1
    assert "guest was not touched" in done.stderr
    assert f"{tmp_path / 'disk'}, which the target has not" in done.stderr
    assert not receivers(OURS)


def test_receiver_is_killed_while_it_receives(make_guest) -> None:
    guest = make_guest("pvh")
    # Of its half of a copy xl takes no care.
    with stays(guest, INCOMING):
        with Following("migrate", "-s", "", guest.name, "xl migrate-receive") as ours:
            ours.until_doing(COPYING)
            wait_for("its copy", lambda: guest.name + INCOMING in known() or None)
            [pid] = receivers(XL)
            os.kill(pid, signal.SIGKILL)
            line = ours.failure()
        assert "guest is running" in line
        # All of the stream may have been on its way by then.
        assert "stream failed" in line or "did not say" in line
    settle(guest)


def test_our_receiver_is_killed_while_it_receives(make_guest) -> None:
    guest = make_guest("pvh")
    with stays(guest):
        command = f"xl migrate -s '' {guest.name} 'xlpy migrate-receive'"
        with Following("", prefix=["sh", "-c", command]) as theirs:
            wait_for("its copy", lambda: guest.name + INCOMING in known() or None)
            [pid] = receivers(OURS)
            os.kill(pid, signal.SIGKILL)
            line = theirs.failure()
        assert "resuming at sender" in line or "failed to suspend at sender" in line
        wait_for("the helper's end", lambda: None if helpers() else True)
        assert "lost" in jobs().values()
        ok("xlpy", "recover")


def test_our_receiver_is_killed_while_one_of_ours_sends(make_guest) -> None:
    guest = make_guest("pvh")
    with stays(guest):
        with Following("migrate", "-s", SSH, guest.name, TARGET) as ours:
            ours.until_doing(COPYING)
            wait_for("its copy", lambda: guest.name + INCOMING in known() or None)
            [pid] = receivers(OURS, "--control")
            os.kill(pid, signal.SIGKILL)
            assert "guest is running" in ours.failure()
        wait_for("the helper's end", lambda: None if helpers() else True)
        wait_for("the other receiver's end", lambda: None if receivers(OURS) else True)
        assert "lost" in jobs().values()
        ok("xlpy", "recover")


def test_receiver_is_killed_before_it_may_start_its_copy(
    make_guest, tmp_path: Path
) -> None:
    guest = make_guest("pvh")
    with stays(guest, INCOMING):
        command = between("kill-receiver", XL, tmp_path)
        done = run("xlpy", "migrate", "-s", "", guest.name, command)
        assert done.returncode == 1
        assert "guest is running" in done.stderr
    settle(guest)


def test_receiver_is_killed_when_it_may_have_started_its_copy(
    make_guest, tmp_path: Path
) -> None:
    guest = make_guest("pvh")
    command = between("swallow", XL, tmp_path)
    done = run("xlpy", "migrate", "-s", "", guest.name, command)
    assert done.returncode == 1
    assert "it is left suspended here: " in done.stderr
    assert known().keys() == {guest.name + AWAY, guest.name + INCOMING}
    assert "p" in domains()[guest.name + INCOMING]
    assert "lost" in jobs().values()
    settle(guest)


def test_sender_is_killed_before_it_says_whose_the_guest_is(
    make_guest, tmp_path: Path
) -> None:
    guest = make_guest("pvh")
    command = between("kill-sender", OURS, tmp_path)
    assert run("xl", "migrate", "-s", "", guest.name, command).returncode == -9
    status, said = told(tmp_path)
    assert status == 1
    copy = known()[guest.name + INCOMING]
    assert f"its copy, domid {copy.domid}, is left paused" in said
    assert "p" in domains()[guest.name + INCOMING]
    assert "s" in domains()[guest.name]
    settle(guest)
