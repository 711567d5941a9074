"""The example daemon under systemd, by its own unit, killed in the middle of a save."""

import os
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

import pytest

from .following import unread_pipe
from .supervised import NOTHING, Service, Systemd, answer, ask
from .support import (
    assert_went_on,
    domid_of,
    helpers,
    in_log_dirty_mode,
    ok,
    wait_for,
)

pytestmark = pytest.mark.xen

UNIT = files("libxlpy.examples") / "xlpyd.service"
SOCKET = Path("/run/xlpyd/socket")
#: The rig's emulation is many times slower than any machine that the unit is for; and
#: systemd before 254 does not tell what it stores.
SLOW = """[Service]
TimeoutStartSec=600
TimeoutStopSec=600
WatchdogSec=300
Environment=FDSTORE=16
"""
#: The rig has started it.
XENSTORED = (
    f"{NOTHING}[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/bin/true\n"
)
OLD = b"an older save of it"


@pytest.fixture
def xlpyd(tmp_path: Path, cgroups: Path) -> Iterator[Service]:
    systemd = Systemd(tmp_path, cgroups)
    systemd.add("xlpyd.service", UNIT.read_text())
    systemd.add("xlpyd.service.d/slow.conf", SLOW)
    systemd.add("xenstored.service", XENSTORED)
    with systemd:
        service = Service(systemd, "xlpyd.service")
        service.start()
        yield service
        service.stop()


def fed(xlpyd: Service) -> None:
    """Check that the watchdog is fed."""
    before = xlpyd.show("WatchdogTimestampMonotonic")
    wait_for(
        "the watchdog to be fed",
        lambda: xlpyd.show("WatchdogTimestampMonotonic") != before or None,
    )


def test_killed_in_a_save(make_guest, xlpyd: Service, saved: Path) -> None:
    guest = make_guest("pvh")
    saved.write_bytes(OLD)
    before = guest.ticks()
    fed(xlpyd)
    with ask(SOCKET, f"save {guest.name} {saved}") as client:
        xlpyd.until("StatusText", "precopy")
        xlpyd.kill()
        assert answer(client) == ""
    assert saved.read_bytes() == OLD
    assert list(saved.parent.glob("*.partial")) == []
    assert guest.running()
    assert not in_log_dirty_mode(domid_of(guest))
    assert_went_on(before, guest.next_ticks(2))
    with ask(SOCKET, f"save {guest.name} {saved}") as client:
        assert answer(client).startswith("saved ")
    ok("xlpy", "verify", saved)
    assert_went_on(before, guest.next_ticks(2))


def test_pipe_is_kept_for_the_next_life(
    make_guest, xlpyd: Service, tmp_path: Path
) -> None:
    guest = make_guest("pvh")
    before, pipe = guest.ticks(), tmp_path / "pipe"
    with unread_pipe(pipe):
        reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
        with ask(SOCKET, f"save {guest.name} {pipe}") as client:
            xlpyd.until("StatusText", "precopy")
            xlpyd.until("NFileDescriptorStore", "1")
            xlpyd.kill()
            assert answer(client) == ""
        xlpyd.until("NFileDescriptorStore", "0")
        os.set_blocking(reader, True)
        while os.read(reader, 1 << 16):
            pass  # to its end: nobody holds it any more
        os.close(reader)
    wait_for("the helper's end", lambda: None if helpers() else True)
    assert guest.running()
    assert not in_log_dirty_mode(domid_of(guest))
    assert_went_on(before, guest.next_ticks(2))
