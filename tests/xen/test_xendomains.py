"""xendomains, the boot script that comes with Xen, with `xlpy` where it says `xl`.

Upstream's script names its `xl` by a path, Debian's finds `xen` on the way. The host is
its own target; Debian's script would then save what it has just migrated.
"""

import os
from pathlib import Path

import pytest

from .migrating import INCOMING, TARGET, fake_ssh, known
from .support import CONSOLES, assert_went_on, ok

pytestmark = pytest.mark.xen

[UPSTREAM] = Path("/usr/lib").glob("xen-*/bin/xendomains")
DEBIAN = Path("/etc/init.d/xendomains")
SETTINGS = Path("/etc/default/xendomains")
PATHS = Path("/etc/xen/scripts/hotplugpath.sh")

#: What it runs: ours as far as it goes; and it is noted who was asked for what.
TOOL = """#!/bin/sh
echo "$1" >>{calls}
case $1 in
list | migrate | save | restore) exec xlpy "$@" ;;
*) exec /usr/sbin/xl "$@" ;;
esac
"""
CONFIG = """
XENDOMAINS_SYSRQ=
XENDOMAINS_MIGRATE="{migrate}"
XENDOMAINS_SAVE={save}
XENDOMAINS_SHUTDOWN=
XENDOMAINS_SHUTDOWN_ALL=
XENDOMAINS_RESTORE=true
XENDOMAINS_AUTO=
XENDOMAINS_AUTO_ONLY=false
XENDOMAINS_STOP_MAXWAIT=600
"""
#: In a view of the files of its own.
ALONE = 'mount --bind "$1" {} && mount --bind "$2" {} && shift 2 && exec "$@"'


class Xendomains:
    """One of the scripts, its settings and its `xl`."""

    def __init__(self, script: Path, folder: Path) -> None:
        self._script = script
        self._folder = folder
        self._calls = folder / "calls"
        self.saved = folder / "save"
        self.saved.mkdir()
        for name in ("xl", "xen"):
            path = folder / name
            path.write_text(TOOL.format(calls=self._calls))
            path.chmod(0o755)
        self._paths = folder / "paths"
        ours = f'sbindir="{folder}"\nXEN_LOCK_DIR="{folder}"\n'
        self._paths.write_text(f"{PATHS.read_text()}\n{ours}")

    def run(self, what: str, *, migrate: str = "", save: str = "") -> list[str]:
        """Start or stop the domains; give what it has asked for."""
        self._calls.write_text("")
        settings = self._folder / "settings"
        settings.write_text(CONFIG.format(migrate=migrate, save=save))
        alone = ALONE.format(SETTINGS, PATHS)
        words = ("sh", "-c", alone, "sh", settings, self._paths, self._script, what)
        path = f"PATH={self._folder}{os.pathsep}{os.environ['PATH']}"
        said = self._folder / "said"  # no pipe, which whatever is left would hold open
        into = ("sh", "-c", 'exec "$@" >"$0" 2>&1', said)
        try:
            ok(*into, "env", path, "unshare", "--mount", *words)
        finally:
            print(said.read_text(), self._calls.read_text())
        return self._calls.read_text().split()


def test_guests_leave_when_the_host_goes_down(make_guest, tmp_path: Path) -> None:
    guests = [make_guest("pvh") for _ in range(2)]
    before, old = [guest.ticks() for guest in guests], known()
    with fake_ssh() as ssh:
        script = Xendomains(UPSTREAM, tmp_path)
        asked = script.run("stop", migrate=f"-s {ssh} {TARGET}")
    assert asked.count("migrate") == 2
    assert not {"save", "shutdown"} & set(asked)
    now = known()
    assert now.keys() == old.keys()
    for guest, ticks in zip(guests, before, strict=True):
        assert now[guest.name].uuid == old[guest.name].uuid
        assert now[guest.name].domid != old[guest.name].domid
        guest.console = CONSOLES / f"guest-{guest.name}{INCOMING}.log"
        assert_went_on(ticks, guest.next_ticks(2))


@pytest.mark.parametrize("script", [UPSTREAM, DEBIAN], ids=["upstream", "debian"])
def test_guests_are_saved_and_come_back(
    make_guest, tmp_path: Path, script: Path
) -> None:
    guest = make_guest("pvh")
    before = guest.ticks()
    xendomains = Xendomains(script, tmp_path)
    asked = xendomains.run("stop", save=str(xendomains.saved))
    assert asked.count("save") == 1
    assert not {"migrate", "shutdown"} & set(asked)
    assert not known()
    assert [path.name for path in xendomains.saved.iterdir()] == [guest.name]
    asked = xendomains.run("start", save=str(xendomains.saved))
    assert asked.count("restore") == 1
    assert known().keys() == {guest.name}
    assert not list(xendomains.saved.iterdir())
    assert_went_on(before, guest.next_ticks(2))
