"""Too little memory is free, and dom0 has more than it needs: as with `xl`."""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from .migrating import INCOMING, OURS, SSH, TARGET, XL, known, migrate
from .restoring import fed, monitors
from .support import (
    CONFIGS,
    CONSOLES,
    Guest,
    assert_went_on,
    ok,
    run,
    wait_for,
)

pytestmark = pytest.mark.xen

XL_CONF = Path("/etc/xen/xl.conf")
DOM0 = "/local/domain/0/memory/target"
SAVED = CONFIGS / "booted-pvh"
#: MiB of that guest, and what stays free beside those who take the rest.
NEEDS, FREE = 128, 60
NOTHING_LEFT = "no domain is left of it"
GAVE = "dom0 has given"


def free() -> int:
    """Return the MiB that no domain has."""
    lines = ok("xl", "info").splitlines()
    return int(next(line for line in lines if "free_memory" in line).split()[-1])


def size() -> int:
    """Return the MiB that dom0 has."""
    return int(ok("xl", "list", "0").splitlines()[1].split()[2])


def target() -> int:
    """Return the KiB that dom0 is to have."""
    return int(ok("xenstore-read", DOM0))


def given(had: int) -> int:
    """Return the MiB, rounded up, that it is to have less than this."""
    return -(-(had - target()) // 1024)


@pytest.fixture
def little() -> Iterator[Callable[[], None]]:
    """Have somebody take nearly all that is free; dom0 is as before afterwards.

    The rig boots Xen with ``dom0_mem=``: so much is free, and dom0 can't have it.
    """
    before = size()
    ok("xl", "mem-set", "0", str(before))  # from now on xenstore has it
    crowd = Guest("pvh", "crowd")

    def take() -> None:
        named, memory = f'name="{crowd.name}"', f"memory={free() - FREE}"
        ok("xl", "create", "-p", CONFIGS / "pvh.cfg", named, memory)
        assert free() < NEEDS

    yield take
    crowd.destroy()
    ok("xl", "mem-set", "0", str(before))
    wait_for("dom0 to be as it was", lambda: size() >= before - 1 or None)


@pytest.fixture
def autoballoon() -> Iterator[Callable[[str], None]]:
    """Say it in ``xl.conf``."""
    before = XL_CONF.read_bytes()

    def say(value: str) -> None:
        XL_CONF.write_bytes(before + f'\nautoballoon="{value}"\n'.encode())

    yield say
    XL_CONF.write_bytes(before)


@pytest.fixture
def restored() -> Iterator[Guest]:
    """Be the guest that is restored."""
    guest = Guest("pvh", SAVED.name)
    yield guest
    guest.destroy()


# -- restored --------------------------------------------------------------------------


def test_dom0_gives_what_lacks(little, autoballoon, restored: Guest) -> None:
    autoballoon("on")
    little()
    had, lacks = target(), NEEDS - free()
    done = run("xlpy", "restore", "-p", "-e", SAVED)
    assert done.returncode == 0, done.stderr
    print(done.stderr, size(), target(), free())
    assert not restored.gone()
    gave = given(had)
    assert lacks <= gave < NEEDS
    assert f"xlpy: {GAVE} {gave} MiB of its memory" in done.stderr


@pytest.mark.parametrize("value", ["off", "auto"])
def test_dom0_gives_nothing_that_it_is_not_to(
    little, autoballoon, restored: Guest, value: str
) -> None:
    """Which is so by itself if Xen was booted with ``dom0_mem=``."""
    autoballoon(value)
    little()
    had = target()
    done = run("xlpy", "restore", "-p", "-e", SAVED)
    print(done.stderr)
    assert done.returncode == 1
    [line] = [line for line in done.stderr.splitlines() if line.startswith("xlpy: ")]
    assert re.search(r"; it needs 132 MiB, and \d+ MiB were free: destroy or", line)
    assert line.endswith(NOTHING_LEFT)
    assert restored.gone()
    assert target() == had


def test_dom0_has_it_again_if_nothing_has_come_of_it(
    little, autoballoon, restored: Guest, tmp_path: Path
) -> None:
    autoballoon("on")
    little()
    had = target()
    cut = tmp_path / "cut"
    cut.write_bytes(SAVED.read_bytes()[: SAVED.stat().st_size // 8])
    with fed(cut) as pipe:
        done = run("xlpy", "-v", "restore", "-p", pipe)
    print(done.stderr)
    assert done.returncode == 1
    assert done.stderr.strip().endswith(NOTHING_LEFT)
    assert "repair: dom0 may have its memory again" in done.stderr
    assert restored.gone()
    assert target() == had


def test_more_than_dom0_can_give_is_told_and_not_taken(
    little, autoballoon, restored: Guest, tmp_path: Path
) -> None:
    autoballoon("on")
    little()
    had = target()
    text = SAVED.read_bytes()[:20000]
    start = text.index(b"{")
    config, _ = json.JSONDecoder().raw_decode(text[start:].decode("latin-1"))
    config["b_info"]["target_memkb"] = had + (1 << 20)
    other = tmp_path / "config"
    other.write_text(json.dumps(config))
    done = run("xlpy", "restore", "-p", other, SAVED)
    print(done.stderr)
    [line] = done.stderr.splitlines()
    numbers = (
        r"it needs 25\d\d MiB, and \d+ MiB are free, dom0 could give 1\d+ MiB more"
    )
    assert re.search(f"failed: not enough memory: {numbers}: destroy or shrink", line)
    assert restored.gone()
    assert target() == had


# -- migrated --------------------------------------------------------------------------


@pytest.mark.parametrize("sender", [OURS, XL])
def test_migration_takes_of_dom0_what_lacks(
    make_guest, little, autoballoon, sender: str
) -> None:
    guest = make_guest("pvh")
    autoballoon("on")
    little()
    ticks, before, had = guest.ticks(), known()[guest.name], target()
    said = migrate(guest, sender, OURS)
    print(said, size(), target(), free())
    assert f"{GAVE} {given(had)} MiB of its memory" in said
    now = known()[guest.name]
    assert (now.uuid, now.domid != before.domid) == (before.uuid, True)
    guest.console = CONSOLES / f"guest-{guest.name}{INCOMING}.log"
    assert_went_on(ticks, guest.next_ticks(2))
    guest.destroy()
    wait_for("the monitor's end", lambda: None if monitors() else True)


def test_migration_is_refused_if_dom0_is_not_to_give(
    make_guest, little, autoballoon
) -> None:
    guest = make_guest("pvh")
    autoballoon("off")
    little()
    before, had = known(), target()
    done = run("xlpy", "migrate", "-s", SSH, guest.name, TARGET)
    print(done.stderr)
    assert done.returncode == 1
    assert f"it needs {NEEDS + 1} MiB of memory, and the target has" in done.stderr
    assert "its dom0" in done.stderr
    assert known() == before
    assert guest.running()
    assert target() == had
