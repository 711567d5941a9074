"""A guest that offers an event channel is asked to suspend by it.

Linux has not offered one for long; a program in the guest does, see
``suspend_by_event.c``, which the rig has compiled.
"""

import lzma
import platform
from pathlib import Path

import pytest

from .conftest import MakeGuest
from .ramdisk import extended
from .support import Guest, assert_went_on, domid_of, ok, wait_for

pytestmark = pytest.mark.xen

HERE = Path(__file__).parent
PROGRAM = "suspend_by_event"
INIT = "with_suspend_event"
ELF = b"\x7fELF"
RUN_DIR = Path("/run/xen")


@pytest.fixture
def ramdisk(tmp_path: Path) -> Path:
    """The rig's initramfs with the program and the module that it needs."""
    modules = Path("/lib/modules") / platform.release()
    [module] = modules.glob("kernel/drivers/xen/xen-evtchn.ko*")
    data = module.read_bytes()
    plain = data if data.startswith(ELF) else lzma.decompress(data)
    return extended(
        tmp_path,
        {
            PROGRAM: ((HERE / PROGRAM).read_bytes(), 0o755),
            INIT: ((HERE / INIT).read_bytes(), 0o755),
            "xen-evtchn.ko": (plain, 0o644),
        },
    )


def asked(guest: Guest) -> int:
    return guest.console_text().count(f"{PROGRAM.replace('_', '-')}: asked by port")


@pytest.mark.parametrize("kind", ["pv", "pvh", "hvm"])
def test_guest_is_asked_by_its_event_channel(
    make_guest: MakeGuest, ramdisk: Path, saved: Path, kind: str
) -> None:
    extra = f'extra="console=hvc0 quiet rdinit=/{INIT}"'
    guest = make_guest(kind, f'ramdisk="{ramdisk}"', extra)
    wait_for(
        "the event channel to be offered",
        lambda: "is offered" in guest.console_text() or None,
    )
    lock = RUN_DIR / f"suspend-evtchn-{domid_of(guest)}.lock"
    for number in (1, 2):  # it can be bound again
        before = guest.ticks()
        ok("xlpy", "save", "-c", guest.name, saved)
        assert asked(guest) == number
        assert not lock.exists()
        assert_went_on(before, guest.next_ticks(2))
    ok("xlpy", "verify", saved)
