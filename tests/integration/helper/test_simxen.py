"""The helper on a real simxen host: whole saves and restores, and a parent that dies.

This file is the parent: it suspends the guest through xenstore and qemu's socket by the
helper's own small clients.
"""

import contextlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from libxlpy_protocol.enums import Image, Mode, Op, XcFlags
from libxlpy_protocol.messages import (
    Answer,
    Complete,
    OpResult,
    PrecopyPolicy,
    Progress,
    RestoreResults,
    StaticDataDone,
    Suspend,
    SwitchQemuLogdirty,
    ToolstackRestore,
    ToolstackSave,
)
from libxlpy_protocol.table import CALLS
from tests.support.helper_driver import ALL_BUT_POLICY, Parent
from tests.support.simxen_host import Simxen, assert_runs

SHUTDOWN = 4


def info(parent: Parent, domid: int) -> OpResult:
    return parent.op(Op.INFO, domid)


class Toolstack:
    """Answers a save's calls as libxl would."""

    def __init__(self, simxen: Simxen, parent: Parent, domid: int, save: Path) -> None:
        self.simxen = simxen
        self.parent = parent
        self.domid = domid
        self.save = save
        self.asked: list[str] = []

    def run(self) -> Complete:
        handlers: dict[type, Callable[[Any], int | bytes | None]] = {
            Suspend: self.suspend,
            SwitchQemuLogdirty: self.switch_qemu_logdirty,
            ToolstackSave: lambda _: b"physmap/1/addr\0000x1000\0",
            StaticDataDone: lambda _: 0,
            ToolstackRestore: lambda _: 0,
        }
        while not isinstance((event := self.parent.next()).message, Complete):
            kind = type(event.message)
            if kind in handlers:
                self.asked.append(kind.__name__)
                answer = handlers[kind](event.message)
                self.parent.send(Answer(answer), event.call_id)
        return event.message

    def suspend(self, _: Suspend) -> int:
        self.simxen.ask_to_suspend(self.domid)
        while not info(self.parent, self.domid).values[1] & SHUTDOWN:
            pass
        if Path(self.simxen.qmp_path(self.domid)).exists():
            with contextlib.closing(self.simxen.qmp(self.domid)) as qmp:
                qmp.execute("stop")
                qmp.execute("xen-save-devices-state", filename=str(self.save))
        return 1

    def switch_qemu_logdirty(self, call: SwitchQemuLogdirty) -> int:
        with contextlib.closing(self.simxen.qmp(self.domid)) as qmp:
            qmp.execute("xen-set-global-dirty-log", enable=call.enable)
        return 0


@pytest.mark.parametrize("flags", [XcFlags(0), XcFlags.LIVE])
@pytest.mark.parametrize("kind", ["pv", "hvm"])
def test_image_of_a_running_guest_restores_to_the_same_memory(
    simxen: Simxen, stream_fd: int, kind: str, flags: XcFlags
) -> None:
    domid = simxen.create(kind)
    state = simxen.directory / f"qemu-save.{domid}"
    emulator = {"emulator_id": 2, "emulator_path": str(state)} if kind == "hvm" else {}
    with simxen.helper([stream_fd]) as parent:
        parent.greet()
        fields = {"domid": domid, "stream_fd": stream_fd, "image": Image.LIBXL}
        parent.start(calls=ALL_BUT_POLICY, flags=flags, **fields, **emulator)
        toolstack = Toolstack(simxen, parent, domid, state)
        assert toolstack.run() == Complete(0, 0, False), parent.logs()
        assert parent.wait() == 0
        assert [m for m in parent.seen if isinstance(m, Progress)]
    hvm_calls = ["SwitchQemuLogdirty", "Suspend", "SwitchQemuLogdirty"]
    expected = [*hvm_calls, "ToolstackSave"] if kind == "hvm" else ["Suspend"]
    if flags:
        assert toolstack.asked == expected
    saved = simxen.ask("verify", domid=domid)
    assert saved["match"]
    restored_id = simxen.create(kind, name="restored", restore=True)
    assert restored_id != domid
    restore(simxen, stream_fd, restored_id, kind)
    restored = simxen.ask("verify", domid=restored_id)
    assert restored["bad"] == 0
    assert restored["digest_memory"] == saved["digest_memory"]


def restore(simxen: Simxen, stream_fd: int, domid: int, kind: str) -> None:
    """Fill an empty domain from the image."""
    os.lseek(stream_fd, 0, os.SEEK_SET)
    state = simxen.directory / f"qemu-resume.{domid}"
    with simxen.helper([stream_fd]) as parent:
        parent.greet()
        fields = {"domid": domid, "stream_fd": stream_fd, "image": Image.LIBXL}
        path = str(state) if kind == "hvm" else ""
        parent.start(Mode.RESTORE, emulator_path=path, **fields)
        toolstack = Toolstack(simxen, parent, domid, state)
        assert toolstack.run() == Complete(0, 0, False), parent.logs()
        results = [m for m in parent.seen if isinstance(m, RestoreResults)]
        assert len(results) == 1
    assert state.exists() == (kind == "hvm")


def test_policy_of_the_parent_is_asked(simxen: Simxen, stream_fd: int) -> None:
    domid = simxen.create("pv")
    with simxen.helper([stream_fd]) as parent:
        parent.greet()
        parent.start(domid=domid, stream_fd=stream_fd, flags=XcFlags.LIVE)
        policy = parent.answer(PrecopyPolicy, -1)
        assert policy.iteration == 0
        assert parent.expect(Complete).retval == -1
    assert_runs(simxen, domid, "")


PARENT_DIES_IN = {"pv": [PrecopyPolicy, Suspend], "hvm": [SwitchQemuLogdirty, Suspend]}


@pytest.mark.parametrize("asked", [False, True])
@pytest.mark.parametrize(
    ("kind", "call"),
    [(kind, call) for kind in PARENT_DIES_IN for call in PARENT_DIES_IN[kind]],
)
def test_guest_runs_on_after_the_parent_is_lost(
    simxen: Simxen, stream_fd: int, kind: str, call: type, asked: bool
) -> None:
    """``asked``: the parent got as far as asking the guest to suspend."""
    domid = simxen.create(kind)
    with simxen.helper([stream_fd]) as parent:
        parent.greet()
        parent.start(
            domid=domid,
            stream_fd=stream_fd,
            flags=XcFlags.LIVE,
            xenstore_path=str(simxen.directory / "xenstored.sock"),
            qmp_path=simxen.qmp_path(domid) if kind == "hvm" else "",
        )
        while not isinstance((event := parent.next()).message, call):
            if type(event.message) in CALLS:
                enable = getattr(event.message, "enable", None)
                if enable is not None:
                    with contextlib.closing(simxen.qmp(domid)) as qmp:
                        qmp.execute("xen-set-global-dirty-log", enable=enable)
                parent.send(Answer(0 if enable is not None else 1), event.call_id)
        if asked and call is Suspend:
            simxen.ask_to_suspend(domid)
        parent.hang_up()
        parent.wait()
        assert parent.process.returncode == 6
        stderr = parent.read_stderr()
    assert_runs(simxen, domid, stderr)


def test_dead_host_is_status_4(simxen: Simxen, tmp_path: Path) -> None:
    with Parent(["--backend", "simxen", "--host", str(tmp_path / "none")]) as parent:
        assert parent.wait() == 4
        assert "xc_interface_open" in parent.read_stderr()
