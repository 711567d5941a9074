"""The device model's part in a save: dirty logging, stopping, its state.

Only HVM domains have one. The state goes to a file that the helper copies into the
stream; the file is gone when the job ends. A connection is made at the first command,
and again if that one broke, or was left: qemu serves one at a time, and should we be
stopped while the guest is suspended, it is the helper that has it go on.

Its socket is found by the domid, which another domain may have by then. So the
hypervisor is asked for the domain's uuid once the connection stands: whose the domid
is then, his was the socket.

Xen: tools/libs/light/libxl_qmp.c, libxl__domain_suspend_device_model().
"""

import os
import stat
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager, contextmanager, suppress

from libxlpy.domain import hypercalls, qmp
from libxlpy.domain.qmp import Qmp
from libxlpy.errors import QmpError, XenstoreError, reason_of
from libxlpy.folders import FOLDER
from libxlpy.process.environment import Environment
from libxlpy.process.link import HelperLink
from libxlpy.results.report import GuestFacts
from libxlpy.xenstore import Xenstore, connect
from libxlpy_protocol.fields import brief
from libxlpy_protocol.stream.libxl import XENSTORE_VALUE_MAX, is_xenstore_key

#: Nodes below each ``physmap`` entry that travel with the domain.
PHYSMAP_KEYS = ("start_addr", "size", "name")

#: Device and inode of a file.
Identity = tuple[int, int]


class DeviceModel:
    """The device model of one HVM domain."""

    def __init__(
        self, env: Environment, domid: int, uuid: str, facts: GuestFacts
    ) -> None:
        """Take the one of a domain.

        Args:
            env: Backend and deadlines.
            domid: Of the domain.
            uuid: Its own; "" for whichever has the domid.
            facts: Of the guest; brought up to date.
        """
        # ----- set by the caller -----
        self.domid = domid
        self.uuid = uuid
        self.facts = facts
        # ----- private -----
        self._backend = env.backend
        self._deadlines = env.deadlines
        self._root = f"/local/domain/0/device-model/{domid}"
        self._qmp: Qmp | None = None
        #: It has said that it logs.
        self._logs = False
        self._made: Identity | None = None

    # ----- save, in order of execution --------------------------------------------

    async def log_dirty(self, ops: HelperLink | None, *, enable: bool) -> None:
        """Switch the logging of the device model's own writes to guest memory.

        Args:
            ops: Asks the hypervisor; None if that can't be asked: then only a device
                model that we are connected to is told.
            enable: On.

        Raises:
            DomainNotFound: There is no such domain any more.
            QmpError: It could not be switched.
        """
        self.facts.note(logging=self.facts.logging or enable)
        if not (enable or self._logs):
            # It may not have got as far, and qemu dies of an "off" without an "on".
            await self._set_log(ops, enable=True)
        await self._set_log(ops, enable=enable)
        self.facts.logging = enable

    async def _set_log(self, ops: HelperLink | None, *, enable: bool) -> None:
        self._logs = False
        await self._execute(ops, "xen-set-global-dirty-log", {"enable": enable})
        self._logs = enable

    async def check(self, ops: HelperLink) -> None:
        """See that it is there: a guest may wait for it for ever, and never suspend.

        Raises:
            DomainNotFound: There is no such domain any more.
            QmpError: It is gone, or does not answer.
        """
        await self._execute(ops, "query-status")

    async def stop_and_save(self, ops: HelperLink) -> None:
        """Stop it and have it write its state to the backend's save file.

        Raises:
            DomainNotFound: There is no such domain any more.
            QmpError: It could not be stopped or did not save.
        """
        path = self._backend.save_path(self.domid)
        await self._connect(ops)
        try:
            self.remove_state()
            fd = os.open(path, os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
            self._made = _identity(os.fstat(fd))
            os.close(fd)
        except OSError as exc:
            raise QmpError(
                f"can't make the device model's state file: {reason_of(exc)}"
            ) from exc
        self.facts.note(stopped=True)
        await self._execute(ops, "stop")
        await self._execute(ops, "xen-save-devices-state", {"filename": str(path)})

    async def collect(self) -> bytes:
        """Give its xenstore nodes as they go into the stream, b"" if there are none.

        Xen: tools/libs/light/libxl_dom_save.c, libxl__save_emulator_xenstore_data().
        """
        parts: list[bytes] = []
        async with self._store() as store:
            for entry in await store.directory(f"{self._root}/physmap"):
                for name in PHYSMAP_KEYS:
                    key = f"physmap/{entry}/{name}"
                    value = await store.read(f"{self._root}/{key}")
                    if value is None:
                        raise XenstoreError(f"{self._root}/{key} is missing", "ENOENT")
                    parts += [key.encode(), value]
        return b"".join(part + b"\0" for part in parts)

    async def go_on(self, ops: HelperLink) -> None:
        """Let it run again.

        Raises:
            DomainNotFound: There is no such domain any more.
            QmpError: It does not.
        """
        await self._execute(ops, "cont")
        self.facts.stopped = False

    def has_state(self) -> bool:
        """Tell whether there is a state file of ours."""
        with suppress(FileNotFoundError), self._state_folder() as folder:
            return self._is_state(folder)
        return False

    def remove_state(self) -> None:
        """Remove the state file, if there is one; what is not ours stays."""
        with suppress(FileNotFoundError), self._state_folder() as folder:
            if self._is_state(folder):
                os.unlink(self._backend.save_path(self.domid).name, dir_fd=folder)

    @contextmanager
    def _state_folder(self) -> Iterator[int]:
        folder = os.open(self._backend.state_dir, FOLDER)
        try:
            yield folder
        finally:
            os.close(folder)

    def _is_state(self, folder: int) -> bool:
        name = self._backend.save_path(self.domid).name
        status = os.stat(name, dir_fd=folder, follow_symlinks=False)
        return stat.S_ISREG(status.st_mode) and status.st_uid == os.geteuid()

    async def leave(self) -> None:
        """Let others talk to it; idempotent."""
        connected, self._qmp = self._qmp, None
        self._logs = False  # who knows, from here on
        if connected is not None:
            await connected.close()

    async def close(self) -> None:
        """Close the connection and remove the state file that we have made."""
        self._remove_made()
        await self.leave()

    def _remove_made(self) -> None:
        with suppress(OSError):  # it, or the folder, is gone
            status = self._backend.save_path(self.domid).lstat()
            if _identity(status) == self._made:
                self.remove_state()

    # ----- restore ----------------------------------------------------------------

    async def put_back(self, data: bytes) -> None:
        """Write nodes that came in a stream; they are checked first.

        Raises:
            XenstoreError: One is not allowed, or could not be written.
        """
        pairs = checked_pairs(data)
        async with self._store() as store:
            for key, value in pairs:
                await store.write(f"{self._root}/{key.decode('ascii')}", value)

    # ----- private ----------------------------------------------------------------

    def _store(self) -> AbstractAsyncContextManager[Xenstore]:
        path, seconds = self._backend.xenstore_socket, self._deadlines.xenstore
        return connect(path, timeout=seconds, wait=True)

    async def _execute(
        self,
        ops: HelperLink | None,
        command: str,
        arguments: dict[str, object] | None = None,
    ) -> None:
        connected = await self._connect(ops)
        try:
            await connected.execute(command, arguments)
        except BaseException:
            await self.leave()
            raise

    async def _connect(self, ops: HelperLink | None) -> Qmp:
        """Give the connection; a new one if there is none."""
        if self._qmp is not None:
            return self._qmp
        if ops is None:
            text = "the hypervisor can't be asked whose device model it is"
            raise QmpError(f"not connected to the device model, and {text}")
        path = self._backend.qmp_path(self.domid)
        made = await qmp.connect(path, timeout=self._deadlines.qemu)
        try:
            await hypercalls.get(ops, self.domid, self.uuid)
        except BaseException:
            await made.close()
            raise
        self._qmp = made
        return made


def _identity(status: os.stat_result) -> Identity:
    return status.st_dev, status.st_ino


def checked_pairs(data: bytes) -> list[tuple[bytes, bytes]]:
    """Cut EMULATOR_XENSTORE_DATA into keys and values.

    Raises:
        XenstoreError: It is no sequence of pairs, or a key is absolute, climbs with
            "..", has characters xenstore does not take, or is too long.
    """
    if not data:
        return []
    parts = data.split(b"\0")
    if parts.pop() != b"" or len(parts) % 2:
        raise XenstoreError("emulator's xenstore data are no pairs", "EINVAL")
    pairs = list(zip(parts[::2], parts[1::2], strict=True))
    for key, value in pairs:
        if not is_xenstore_key(key) or len(value) > XENSTORE_VALUE_MAX:
            raise XenstoreError(
                f"emulator's xenstore key {brief(key)} refused", "EINVAL"
            )
    return pairs
