"""Keep an emulated processor from sleeping for ever.

QEMU keeps what interrupts a processor in a set that devices change under a lock. Its
emulation of SVM (VMRUN and #VMEXIT, in 7.2) changes it without, so now and then an
interrupt is lost. The local APIC has it still, but tells only of a new one. If it was
that of Xen's timer, nothing else may ever come: seen with vector 250 in `info lapic`, a
halted processor with interrupts on, and none in QEMU's memory. Any interrupt ends that,
such as that of a disk which says how large it is; an NMI passes the APIC by.
"""

import json
import socket
import sys
import time
from pathlib import Path
from typing import TextIO

#: Seconds in which a dom0 that lives uses the processor, however little it has to do.
ASLEEP = 4.0
ANSWER_TIMEOUT = 5.0
USER_TIME, SYSTEM_TIME = 11, 12  # fields of /proc/PID/stat after the program's name


class Waker:
    """Looks after one QEMU."""

    def __init__(self, control: Path, disk: str, size: int) -> None:
        """Prepare it.

        Args:
            control: Where QEMU is to have its QMP socket.
            disk: The id of one of its disks.
            size: How large that is, and stays, in bytes.
        """
        self.arguments = ["-qmp", f"unix:{control},server=on,wait=off"]
        self._control = control
        self._wake = {"device": disk, "size": size}
        self._used = -1
        self._since = time.monotonic()

    def look(self, pid: int) -> None:
        """Wake the machine if its QEMU has not used the processor for a while."""
        now = time.monotonic()
        used = processor_time(pid)
        if used != self._used:
            self._used, self._since = used, now
        elif now - self._since > ASLEEP:
            self._since = now
            print("xen-rig: the machine has lost an interrupt: woken", file=sys.stderr)
            self._interrupt()

    def _interrupt(self) -> None:
        """Have the disk interrupt; QMP without a library, as all of the rig."""
        try:
            with socket.socket(socket.AF_UNIX) as sock:
                sock.settimeout(ANSWER_TIMEOUT)
                sock.connect(str(self._control))
                with sock.makefile("rw") as qmp:
                    qmp.readline()  # the greeting
                    self._ask(qmp, {"execute": "qmp_capabilities"})
                    command = {"execute": "block_resize", "arguments": self._wake}
                    self._ask(qmp, command)
        except (OSError, ValueError) as error:  # it is ending, or hangs itself
            print(f"xen-rig: QEMU did not wake it: {error}", file=sys.stderr)

    @staticmethod
    def _ask(qmp: TextIO, command: dict[str, object]) -> None:
        qmp.write(json.dumps(command) + "\n")
        qmp.flush()
        while "event" in (answer := json.loads(qmp.readline())):
            pass
        if "return" not in answer:
            raise ValueError(answer)


def processor_time(pid: int) -> int:
    """Return the processor time that a process has used, in clock ticks."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[USER_TIME]) + int(fields[SYSTEM_TIME])
