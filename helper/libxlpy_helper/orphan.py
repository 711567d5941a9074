"""Put a guest right after the parent is lost in the middle of a save.

What the parent would have done, in a bounded time: no log-dirty mode in Xen or qemu, no
suspend request left behind, no state file of qemu's, and the guest running if we had it
suspended. Each step is tried whatever became of the one before; what was done goes to
stderr.
"""

import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from libxlpy_helper.ops import find, is_suspended
from libxlpy_helper.qmp_client import QmpClient
from libxlpy_helper.xenguest import Handle, Result
from libxlpy_helper.xenstore_client import COMMIT, ROLL_BACK, XenstoreClient
from libxlpy_protocol.messages import Start

STEP_MAX: Final = 1.5  # seconds for one peer that doesn't answer
SUSPEND_WAIT: Final = 1.0  # seconds for a guest that took the request
POLL_INTERVAL: Final = 0.02  # seconds between two looks at the guest
FAST: Final = 1  # the guest's suspend call returns "cancelled"


def repair(handle: Handle, start: Start, *, suspend_asked: bool, end_by: float) -> None:
    """Put the guest of ``start`` right.

    Args:
        handle: Of the calling thread.
        start: Has the domid and where xenstored and qemu listen.
        suspend_asked: The guest may have been asked by us to suspend; a guest that
            others suspended is theirs to resume.
        end_by: When to have ended, in monotonic seconds.
    """
    _Repair(handle, start, suspend_asked, end_by).run()


@dataclass(slots=True)
class _Repair:
    handle: Handle
    start: Start
    suspend_asked: bool
    end_by: float

    def run(self) -> None:
        self._step("log-dirty off", self._logdirty_off)
        if self.start.qmp_path:
            self._step("qemu log-dirty off", self._qemu_logdirty_off)
        if self.suspend_asked:
            took_request = True  # unless xenstore says that it hasn't
            with _reported("suspend request cleared"):
                took_request = not self._clear_request()
            if took_request:
                self._step("wait for suspend", self._wait_suspended)
            self._step("guest resumed", self._resume)
        if self.start.emulator_path:
            self._step("qemu's state removed", self._remove_state)

    def _step(self, name: str, step: Callable[[], None]) -> None:
        with _reported(name):
            step()

    def _logdirty_off(self) -> None:
        _check(self.handle.logdirty_off(self.start.domid))

    def _qemu_logdirty_off(self) -> None:
        with self._qmp() as qmp:
            qmp.execute("xen-set-global-dirty-log", enable=False)

    def _clear_request(self) -> bool:
        """Take the request back; False: the guest has taken it already."""
        path = f"/local/domain/{self.start.domid}/control/shutdown"
        with self._xenstore() as xenstore:
            while True:
                tx_id = xenstore.begin()
                if xenstore.read(path, tx_id) != b"suspend":
                    xenstore.end(tx_id, ROLL_BACK)
                    return False
                xenstore.write(path, b"", tx_id)
                try:
                    xenstore.end(tx_id, COMMIT)
                except BlockingIOError:
                    continue
                return True

    def _wait_suspended(self) -> None:
        until = min(self.end_by - STEP_MAX, time.monotonic() + SUSPEND_WAIT)
        while time.monotonic() < until and not self._is_suspended():
            time.sleep(POLL_INTERVAL)

    def _resume(self) -> None:
        if not self._is_suspended():
            return
        if self.start.qmp_path:
            with _reported("qemu continued"), self._qmp() as qmp:
                qmp.execute("cont")
        _check(self.handle.resume(self.start.domid, FAST))
        with self._xenstore() as xenstore:
            xenstore.resume(self.start.domid)

    def _remove_state(self) -> None:
        Path(self.start.emulator_path).unlink(missing_ok=True)

    def _is_suspended(self) -> bool:
        info = find(self.handle, self.start.domid)
        return info is not None and is_suspended(info)

    @contextlib.contextmanager
    def _qmp(self) -> Iterator[QmpClient]:
        with contextlib.closing(QmpClient(self.start.qmp_path, self._limit())) as qmp:
            yield qmp

    @contextlib.contextmanager
    def _xenstore(self) -> Iterator[XenstoreClient]:
        path = self.start.xenstore_path
        with contextlib.closing(XenstoreClient(path, self._limit())) as xenstore:
            yield xenstore

    def _limit(self) -> float:
        return min(self.end_by, time.monotonic() + STEP_MAX)


def _check(result: Result) -> None:
    if result.retval:
        raise OSError(result.errnoval, "refused by the hypervisor")


@contextlib.contextmanager
def _reported(name: str) -> Iterator[None]:
    """Say on stderr how a step ended; an error ends this step only."""
    try:
        yield
    except OSError as exc:
        _say(f"{name}: {exc}")
    else:
        _say(name)


def _say(fact: str) -> None:
    """Tell it to whoever reads our stderr; that was the parent, most of the time."""
    with contextlib.suppress(OSError):
        sys.stderr.write(f"libxlpy-helper: repair: {fact}\n")
