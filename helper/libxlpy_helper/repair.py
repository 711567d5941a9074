"""Put a guest right after the parent is lost in the middle of a save.

What the parent would have done: no log-dirty mode in Xen or qemu, no suspend request
left behind, no state file of qemu's, and the guest running if we had it suspended; one
that was paused, and let run for that, is paused first. Each
step is tried whatever became of the one before; what was done goes to stderr.

Hypercalls wait for nobody, so they are done however late it is, and a guest that is
suspended runs again before xenstored is talked to. Only the talk with xenstored and
qemu is bounded in seconds; one that said nothing is not asked again. A guest that has
ended may have left its domid to another one: that is looked at before each act.
"""

from __future__ import annotations

import contextlib
import sys
import time

from libxlpy_helper import own_files
from libxlpy_helper.domain_ops import is_suspended
from libxlpy_helper.guest import Guest, ReplacedError
from libxlpy_helper.peers.xenstore import XenstoreClient
from libxlpy_helper.xen.xenguest import Handle, Result
from libxlpy_protocol.fields import printable
from libxlpy_protocol.messages import Start

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Final

    from libxlpy_helper.peers.qmp import QmpClient

SILENCE_MAX: Final = 0.4  # seconds for one answer of xenstored or qemu
# At least, at a guest that took the request. Looks are counted besides the seconds: on
# a busy machine we get our turn as late as the guest does.
SUSPEND_LOOKS: Final = 25
POLL_INTERVAL: Final = 0.02  # seconds between two looks at the guest
FAST: Final = 1  # the guest's suspend call returns "cancelled"


def prepare(start: Start) -> None:
    """Load all that it takes: a repair must not depend on files."""
    if start.qmp_path:  # of a domain without qemu it loads no json, and no re with it
        import libxlpy_helper.peers.qmp  # noqa: F401


def repair(
    handle: Handle, guest: Guest, start: Start, *, suspend_asked: bool, end_by: float
) -> None:
    """Put the guest of ``start`` right.

    Args:
        handle: Of the calling thread.
        guest: The guest, as it was found at the start.
        start: Has the domid and where xenstored and qemu listen.
        suspend_asked: The guest may have been asked by us to suspend; a guest that
            others suspended is theirs to resume.
        end_by: When to have ended the talk with peers, in monotonic seconds.
    """
    # However late it is, peers that are well get the time to answer.
    talk_until = max(end_by, time.monotonic() + 2 * SILENCE_MAX)
    asked = suspend_asked and not guest.was_suspended
    try:
        _Repair(handle, guest, start, asked, talk_until).run()
    except ReplacedError as exc:
        _say(str(exc))


class _Repair:
    def __init__(
        self,
        handle: Handle,
        guest: Guest,
        start: Start,
        suspend_asked: bool,
        end_by: float,
    ) -> None:
        self.handle = handle
        self.guest = guest
        self.start = start
        self.suspend_asked = suspend_asked
        self.end_by = end_by
        self.resumed = False
        self.silent: set[str] = set()  # who did not answer

    def run(self) -> None:
        self._step("log-dirty off", self._logdirty_off)
        if self.suspend_asked:
            self._resume()
            self._take_request_back()
            self._resume()
            self._hold()
        if self.start.qmp_path:
            self._step("qemu log-dirty off", self._qemu_logdirty_off)
        if self.suspend_asked:
            self._resume()  # it may have taken the request from a slow xenstored
        if self.resumed:
            self._step("xenstored told", self._tell_resumed)
        if self.start.emulator_path:
            self._step("qemu's state removed", self._remove_state)

    def _step(self, name: str, step: Callable[[], None]) -> None:
        self.guest.check()
        with _reported(name):
            step()

    def _logdirty_off(self) -> None:
        _check(self.handle.logdirty_off(self.start.domid))

    def _qemu_logdirty_off(self) -> None:
        with self._qmp() as qmp:
            # It may not log, and qemu (since 6.2) dies of an "off" without an "on".
            qmp.execute("xen-set-global-dirty-log", enable=True)
            qmp.execute("xen-set-global-dirty-log", enable=False)

    def _take_request_back(self) -> None:
        took_request = True  # unless xenstore says that it hasn't
        with _reported("suspend request cleared"):
            took_request = not self._clear_request()
        if took_request and not self.resumed:
            self._step("wait for suspend", self._wait_suspended)

    def _clear_request(self) -> bool:
        """Take the request back; False: the guest has taken it already."""
        path = f"/local/domain/{self.start.domid}/control/shutdown"
        with self._xenstore() as xenstore:

            def clear(tx_id: int) -> bool:
                if xenstore.read(path, tx_id) != b"suspend":
                    return False
                # Should the node change hands from here on, the commit fails.
                self.guest.check()
                xenstore.write(path, b"", tx_id)
                return True

            return xenstore.transact(clear)

    def _wait_suspended(self) -> None:
        until = self.end_by - 2 * SILENCE_MAX  # those are for the talk to come
        looks = 0
        while looks < SUSPEND_LOOKS or time.monotonic() < until:
            if self._is_suspended():
                return
            looks += 1
            time.sleep(POLL_INTERVAL)

    def _resume(self) -> None:
        """Resume the guest if it is seen suspended, once.

        After qemu, as of a stopped one Xen takes no notice: the guest would find its
        devices gone.
        """
        if self.resumed or not self._is_suspended():
            return
        if self.start.qmp_path:
            self._step("qemu continued", self._continue_qemu)
        if not self._hold():
            return
        self.guest.check()
        with _reported("guest resumed"):
            _check(self.handle.resume(self.start.domid, FAST))
            self.resumed = True

    def _hold(self) -> bool:
        """Pause a guest again that was let run to suspend; False if it can't be."""
        if self.guest.lifted:
            self._step("guest paused again", self.guest.pause_again)
        return not self.guest.lifted

    def _continue_qemu(self) -> None:
        with self._qmp() as qmp:
            qmp.execute("cont")

    def _tell_resumed(self) -> None:
        with self._xenstore() as xenstore:
            xenstore.resume(self.start.domid)

    def _remove_state(self) -> None:
        with own_files.opened(self.start.emulator_path) as file:
            removed = file.remove(f"qemu-save.{self.start.domid}")
            if not removed and file.status() is not None:
                raise OSError(f"{self.start.emulator_path} is not ours: left alone")

    def _is_suspended(self) -> bool:
        try:
            info = self.guest.info()
        except OSError as exc:
            _say(f"look at the guest: {exc}")
            return False
        return info is not None and is_suspended(info)

    @contextlib.contextmanager
    def _qmp(self) -> Iterator[QmpClient]:
        from libxlpy_helper.peers.qmp import QmpClient  # `prepare` has loaded it

        with self._asked("qemu"):
            client = QmpClient(self.start.qmp_path, self.end_by, SILENCE_MAX)
            with contextlib.closing(client) as qmp:
                # Found by the domid: whose that is now, his qemu answers here.
                self.guest.check()
                yield qmp

    @contextlib.contextmanager
    def _xenstore(self) -> Iterator[XenstoreClient]:
        with self._asked("xenstored"):
            client = XenstoreClient(self.start.xenstore_path, self.end_by, SILENCE_MAX)
            with contextlib.closing(client) as xenstore:
                yield xenstore

    @contextlib.contextmanager
    def _asked(self, peer: str) -> Iterator[None]:
        if peer in self.silent:
            raise OSError(f"{peer} did not answer before")
        try:
            yield
        except TimeoutError:
            self.silent.add(peer)
            raise


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
        sys.stderr.write(f"libxlpy-helper: repair: {printable(fact)}\n")
