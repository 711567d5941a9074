"""An HVM guest whose kernel knows nothing of Xen: it can't be asked to suspend."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from .conftest import SUITE
from .ramdisk import extended
from .support import Guest, assert_went_on, ok, wait_for

pytestmark = pytest.mark.xen

INIT = "on_a_serial_port"
#: It has no hvc0, which the rig's own init wants, and takes no netfront.
SCRIPT = b"""#!/bin/busybox sh
/bin/busybox mount -t devtmpfs dev /dev
/bin/busybox ln -s ttyS0 /dev/hvc0
: >/modules/order
exec /init
"""


@pytest.fixture
def guest(clean_host: None, tmp_path: Path) -> Iterator[Guest]:
    """A running HVM guest; what it prints goes through qemu, which empties the file."""
    del clean_host
    guest = Guest("hvm", f"hvm-{SUITE}-no-pv")
    guest.console = tmp_path / "serial"
    ramdisk = extended(tmp_path, {INIT: (SCRIPT, 0o755)})
    try:
        guest.create(
            f'ramdisk="{ramdisk}"',
            f'extra="console=ttyS0 quiet xen_nopv rdinit=/{INIT}"',
            f'serial="file:{guest.console}"',
        )
        yield guest
    finally:
        guest.destroy()


def test_it_is_shut_down_by_hypercall_and_goes_on(guest: Guest, saved: Path) -> None:
    before = guest.ticks()
    ok("xlpy", "save", "-c", "--live", guest.name, saved)
    assert_went_on(before, guest.next_ticks(2))

    before = guest.ticks()
    ok("xlpy", "save", guest.name, saved)
    wait_for(f"{guest.name} to be gone", lambda: guest.gone() or None)
    ok("xlpy", "restore", "-e", saved)
    after = wait_for("what it prints", lambda: guest.ticks()[1:3] or None)
    assert_went_on(before, after)
