"""The device model's part in a save: dirty logging, stopping, its state.

Only HVM domains have one. The state goes to a file that the helper copies into the
stream; the file is gone when the job ends.

Xen: tools/libs/light/libxl_qmp.c, libxl__domain_suspend_device_model().
"""

import os
import re
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

from libxlpy import qmp
from libxlpy.backend import Backend
from libxlpy.deadlines import Deadlines
from libxlpy.errors import QmpError, XenstoreError
from libxlpy.xenstore import Xenstore, connect

#: ``emulator_id`` of qemu in the stream; Xen: libxl_sr_stream_format.h.
EMULATOR_QEMU = 2
#: Nodes below each ``physmap`` entry that travel with the domain.
PHYSMAP_KEYS = ("start_addr", "size", "name")
#: What a restored stream may put below the device model's node.
KEY = re.compile(rb"[A-Za-z0-9_@:.-]+(/[A-Za-z0-9_@:.-]+){0,15}")
KEY_MAX = 256
VALUE_MAX = 2048


class Emulator:
    """The device model of one HVM domain."""

    def __init__(self, domid: int, backend: Backend, deadlines: Deadlines) -> None:
        # ----- set by the caller -----
        self.domid = domid
        # ----- results: facts -----
        #: Dirty logging may be on.
        self.logging = False
        #: It may have been stopped.
        self.stopped = False
        #: Called when one of the facts changes, before it is acted on.
        self.changed: Callable[[], None] = lambda: None
        # ----- private -----
        self._backend = backend
        self._deadlines = deadlines
        self._root = f"/local/domain/0/device-model/{domid}"

    # ----- save, in order of execution --------------------------------------------

    async def log_dirty(self, *, enable: bool) -> None:
        """Switch the logging of the device model's own writes to guest memory.

        Raises:
            QmpError: It could not be switched.
        """
        self.logging = self.logging or enable
        self.changed()
        await self._execute("xen-set-global-dirty-log", {"enable": enable})
        self.logging = enable

    async def stop_and_save(self) -> None:
        """Stop it and have it write its state to the backend's save file.

        Raises:
            QmpError: It could not be stopped or did not save.
        """
        path = self._backend.save_path(self.domid)
        try:
            self.remove_state()
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600))
        except OSError as exc:
            raise QmpError(f"can't make the device model's state file: {exc}") from exc
        self.stopped = True
        self.changed()
        await self._execute("stop")
        await self._execute("xen-save-devices-state", {"filename": str(path)})

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

    async def go_on(self) -> None:
        """Let it run again."""
        await self._execute("cont")
        self.stopped = False

    def remove_state(self) -> None:
        """Remove the state file, if there is one."""
        self._backend.save_path(self.domid).unlink(missing_ok=True)

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
        return connect(self._backend.xenstore_socket, timeout=self._deadlines.xenstore)

    async def _execute(
        self, command: str, arguments: dict[str, object] | None = None
    ) -> None:
        path = self._backend.qmp_path(self.domid)
        async with qmp.connect(path, timeout=self._deadlines.qemu) as client:
            await client.execute(command, arguments)


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
        climbs = any(part in (b".", b"..") for part in key.split(b"/"))
        too_long = len(key) > KEY_MAX or len(value) > VALUE_MAX
        if climbs or too_long or KEY.fullmatch(key) is None:
            raise XenstoreError(
                f"emulator's xenstore key {key!r:.80} refused", "EINVAL"
            )
    return pairs
