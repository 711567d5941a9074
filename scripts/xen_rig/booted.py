"""Guests that were booted once, and saved in the image: seconds instead of minutes."""

import io
import sys
from pathlib import Path

from xen_rig.common import RigError, log, make_ext4
from xen_rig.machine import Run
from xen_rig.suites import HERE

SCRIPT = HERE / "dom0" / "boot-guests"
#: Seconds for all of them, with an attempt that fails; alone they take three minutes.
TIMEOUT = 3000.0


def boot_guests(image: Path) -> None:
    """Boot a guest of each kind in a finished image, and keep it there, saved.

    Args:
        image: The folder of the image; its root disk is changed.

    Raises:
        RigError: One does not boot.
    """
    log("booting the guests that tests begin from: some minutes")
    work = image.with_name("boot")
    (work / "code" / "rig").mkdir(parents=True)
    (work / "code" / "rig" / "command").write_bytes(SCRIPT.read_bytes())
    code = work / "code.ext4"
    make_ext4(code, work / "code", spare_mib=8)
    said = io.BytesIO()
    console = work / "console.log"
    machine = Run(image, code, work, console, TIMEOUT, sink=said, keep_disk=True)
    if status := machine.run():
        sys.stderr.write(said.getvalue().decode(errors="replace"))
        raise RigError(f"the guests did not boot: status {status}")
