"""Keep an emulated processor from sleeping for ever.

Seen in one run of five, while a guest is made or restored: Xen's idle loop waits for an
interrupt with interrupts on, and QEMU has no timer left that would give one. Nothing
in the machine can end that. An NMI from outside wakes Xen, which hands it to dom0 and
sets its timers anew; dom0 logs that it got one.
"""

import json
import socket
import sys
import time
from pathlib import Path

#: Seconds in which a dom0 that lives uses the processor, however little it has to do.
ASLEEP = 15.0
ANSWER_TIMEOUT = 5.0
USER_TIME, SYSTEM_TIME = 11, 12  # fields of /proc/PID/stat after the program's name


class Waker:
    """Looks after one QEMU."""

    def __init__(self, control: Path) -> None:
        """Prepare it; ``control`` is where QEMU is to have its QMP socket."""
        self.arguments = ["-qmp", f"unix:{control},server=on,wait=off"]
        self._control = control
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
            print("xen-rig: the machine slept without a timer: woken", file=sys.stderr)
            inject_nmi(self._control)


def processor_time(pid: int) -> int:
    """Return the processor time that a process has used, in clock ticks."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[USER_TIME]) + int(fields[SYSTEM_TIME])


def inject_nmi(control: Path) -> None:
    """Give the machine's processor an NMI; without a library, as all of the rig."""
    try:
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(ANSWER_TIMEOUT)
            sock.connect(str(control))
            with sock.makefile("rw") as qmp:
                qmp.readline()  # the greeting
                for command in ("qmp_capabilities", "inject-nmi"):
                    qmp.write(json.dumps({"execute": command}) + "\n")
                    qmp.flush()
                    qmp.readline()
    except OSError as error:  # it is ending, or QEMU itself hangs: the time limit holds
        print(f"xen-rig: QEMU did not take the NMI: {error}", file=sys.stderr)
