"""Another domain with the domid of one that is gone, in a state where all shows.

It is suspended, in log-dirty mode, asked to suspend, and its device model logs and is
stopped: whatever a job that means the first domain does to this one, can be seen.
"""

import json
import socket
from typing import Any

from libxlpy.simxen.hypervisor import REPLY, REQUEST
from tests.support.guest import PATIENCE, Guest

OP_SHUTDOWN, OP_LOGDIRTY = 6, 9
REASON_SUSPEND = 2
ASKED = b"suspend"
#: What must not change; ``suspend_count`` counts resumes.
KEPT = ("uuid", "shutdown", "shutdown_reason", "paused", "logdirty", "suspend_count")
KEPT_BY_QEMU = ("qemu_logdirty", "qmp_running")


class Successor(Guest):
    """The domain that gets a domid when its first one is gone."""

    def __init__(self, first: Guest, **fields: Any) -> None:
        first.destroy()
        super().__init__(first.host, first.kind, domid=first.domid, **fields)
        self._hypercall(OP_LOGDIRTY, 1)
        if self.kind == "hvm":
            self._qmp("xen-set-global-dirty-log", enable=True)
            self._qmp("stop")
        self._hypercall(OP_SHUTDOWN, REASON_SUSPEND)
        self.write_node("control/shutdown", ASKED)
        self._before = self._state()

    def assert_left_alone(self) -> None:
        assert self._state() == self._before
        assert self._before["logdirty"]
        assert self._before["shutdown"]
        assert self._before["control"] == ASKED

    def _state(self) -> dict[str, Any]:
        facts = self.facts()
        return {
            **{name: facts[name] for name in (*KEPT, *KEPT_BY_QEMU)},
            "control": self.control(),
        }

    def _hypercall(self, op: int, argument: int) -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as sock:
            sock.settimeout(PATIENCE)
            sock.connect(str(self.host / "hypervisor.sock"))
            sock.sendall(REQUEST.pack(op, self.domid, argument, *[0] * 6))
            retval, errnoval, *_ = REPLY.unpack(sock.recv(4096))
            assert (retval, errnoval) == (0, 0)

    def _qmp(self, command: str, **arguments: object) -> None:
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(PATIENCE)
            sock.connect(str(self.host / f"qmp-libxl-{self.domid}"))
            file = sock.makefile("rw")
            file.readline()
            for name, values in (("qmp_capabilities", {}), (command, arguments)):
                file.write(json.dumps({"execute": name, "arguments": values}))
                file.flush()
                while "return" not in json.loads(file.readline()):
                    pass
