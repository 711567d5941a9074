"""A simxen host, and what a toolstack does to guests by the helper's own clients."""

import contextlib
import time
from pathlib import Path
from typing import Any

from libxlpy.simxen import client
from libxlpy_helper.peers.qmp import QmpClient
from libxlpy_helper.peers.xenstore import XenstoreClient
from tests.support.helper_driver import LIMIT, Parent


class Simxen:
    """A host, and what a toolstack does to its guests."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        client.start_host(directory)

    def ask(self, do: str, **fields: object) -> dict[str, Any]:
        reply: dict[str, Any] = client.request(self.directory, do, **fields)
        return reply

    def create(self, kind: str, **fields: object) -> int:
        values = {"name": "guest", "type": kind, "memory_mib": 8, "vcpus": 1}
        dirty = {"rate": 500, "pattern": "uniform", "fill": True}
        reply = self.ask("create", **{**values, **dirty, **fields})
        return int(reply["domid"])

    def helper(self, pass_fds: list[int] | None = None) -> Parent:
        backend = ["--backend", "simxen", "--host", str(self.directory)]
        return Parent(backend, pass_fds or [])

    def xenstore(self) -> XenstoreClient:
        path = str(self.directory / "xenstored.sock")
        return XenstoreClient(path, time.monotonic() + LIMIT, LIMIT)

    def qmp_path(self, domid: int) -> str:
        return str(self.directory / f"qmp-libxl-{domid}")

    def qmp(self, domid: int) -> QmpClient:
        return QmpClient(self.qmp_path(domid), time.monotonic() + LIMIT, LIMIT)

    def ask_to_suspend(self, domid: int) -> None:
        with contextlib.closing(self.xenstore()) as xenstore:
            xenstore.write(f"/local/domain/{domid}/control/shutdown", b"suspend")

    def until_suspended(self, domid: int) -> None:
        deadline = time.monotonic() + LIMIT
        while not self.state(domid)["shutdown"]:
            assert time.monotonic() < deadline, "the guest does not suspend"

    def state(self, domid: int) -> dict[str, Any]:
        reply = self.ask("info", domid=domid)
        found: dict[str, Any] = reply.get("domain", reply)
        return found


def assert_runs(simxen: Simxen, domid: int, stderr: str) -> None:
    """See the guest at work, and nothing left of the save."""
    state = simxen.state(domid)
    assert not state["logdirty"], stderr
    assert not state.get("qemu_logdirty"), stderr
    with contextlib.closing(simxen.xenstore()) as xenstore:
        path = f"/local/domain/{domid}/control/shutdown"
        assert xenstore.read(path) == b"", stderr
    counter = state["counter"]
    deadline = time.monotonic() + LIMIT
    while simxen.state(domid)["counter"] == counter:
        assert time.monotonic() < deadline, f"the guest stands still: {stderr}"
