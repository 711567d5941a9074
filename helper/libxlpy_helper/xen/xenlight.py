"""libxenlight's functions for Python: build, watch and destroy domains.

With ``xenguest`` and ``from_c`` the only user of the compiled binding. libxenlight
forks and waits for its own children. A domain is created in the main thread, of whose
children we know the save helper; interfaces are added beside that, in another thread:
its context may be used by several.
"""

import os
import struct
from typing import Any, Final, NamedTuple

from libxlpy_helper._xenguest import ffi, lib
from libxlpy_helper.xen.from_c import text_of
from libxlpy_helper.xen.xenguest import LoadError
from libxlpy_protocol.enums import StreamType

__all__ = ["LogLine", "ShutdownEvent", "Toolstack", "XenlightError", "parse_log"]

SONAME: Final = "libxenlight.so.{}"
NOT_RESTORED: Final = -1
NO_DOMID: Final = (1 << 32) - 1
DOMAIN_SHUTDOWN: Final = 1  # libxl_event_type

#: Xen: tools/libs/light/libxl_types.idl, ``libxl_error``; those that a create returns.
_ERRORS: Final = {
    -3: "failed",
    -5: "no memory",
    -6: "invalid argument",
    -9: "timed out",
    -21: "no such domain",
    -22: "aborted",
}
_LOG_HEAD: Final = struct.Struct("@Iii")


class XenlightError(Exception):
    """A function of libxenlight failed; ``rc`` is its (negative) error."""

    def __init__(self, what: str, rc: int) -> None:
        super().__init__(f"{what}: {_ERRORS.get(rc, 'libxl error')} (rc {rc})")
        self.rc = rc


class ShutdownEvent(NamedTuple):
    """A watched domain shut down, or died (reason None)."""

    domid: int
    reason: int | None


class LogLine(NamedTuple):
    """One line of libxenlight's log; ``errnoval`` -1 is none."""

    level: int
    errnoval: int
    context: str
    text: str


class Toolstack:
    """A loaded libxenlight and its one context."""

    def __init__(self, version: str, log_fd: int) -> None:
        """Load and open it.

        Args:
            version: Xen release, as "4.20".
            log_fd: Write end of a non-blocking pipe; see :func:`parse_log`.

        Raises:
            LoadError: Not found, or a function is missing.
            XenlightError: It can't reach Xen.
        """
        self.name = SONAME.format(version)
        self._library = ffi.new("struct xenlight *")
        error = ffi.new("char[]", lib.XENLIGHT_ERROR_MAX)
        if lib.xenlight_load(self._library, self.name.encode(), error):
            raise LoadError(text_of(error))
        os.set_blocking(log_fd, False)
        context = ffi.new("libxl_ctx **")
        _check("libxl_ctx_alloc", lib.xenlight_open(self._library, log_fd, context))
        self._context = context[0]

    def create(
        self,
        config: bytes,
        restore_fd: int = NOT_RESTORED,
        stream_type: StreamType = StreamType.PLAIN,
    ) -> int:
        """Build a domain, paused, and return its domid.

        Args:
            config: JSON of libxl's ``domain_config``.
            restore_fd: Where its state comes from; without it, the domain boots.
            stream_type: With checkpoints it is built once that has ended.

        Raises:
            XenlightError: It failed; libxenlight has removed what it had built.
        """
        domid = ffi.new("uint32_t *")
        state = (restore_fd, stream_type.value)
        rc = lib.xenlight_create(self._library, self._context, config, *state, domid)
        if rc and domid[0] != NO_DOMID:
            # After some failures there is a domain all the same.
            lib.xenlight_destroy(self._library, self._context, domid[0])
        _check("the domain could not be built", rc)
        return int(domid[0])

    def add_interface(self, domid: int, interface: bytes) -> None:
        """Give a domain an interface, and wait until its back-end is there.

        Args:
            domid: Of a domain that may still be under construction.
            interface: JSON of libxl's ``device_nic``.

        Raises:
            XenlightError: It failed.
        """
        self._call("interface", lib.xenlight_add_nic, domid, interface)

    def remove_interface(self, domid: int, interface: bytes) -> None:
        """Take what is left of an interface away, its domain may be gone.

        Raises:
            XenlightError: It failed, or nothing was left.
        """
        self._call("interface", lib.xenlight_remove_nic, domid, interface)

    def store_config(self, domid: int, config: bytes) -> None:
        """Have libxl keep this as a domain's configuration.

        Raises:
            XenlightError: It failed.
        """
        self._call("configuration", lib.xenlight_store_config, domid, config)

    def stored_config(self, domid: int) -> bytes:
        """Give the configuration that libxl keeps of a domain.

        Raises:
            XenlightError: It has none, or it failed.
        """
        given = ffi.new("char **")
        self._call("configuration", lib.xenlight_stored_config, domid, given)
        try:
            return bytes(ffi.string(given[0]))
        finally:
            lib.free(given[0])

    def launch(self, domid: int) -> None:
        """Let a domain that was built run for the first time.

        Raises:
            XenlightError: It can't run, and is removed: it would stay paused for ever.
        """
        try:
            self._call("unpause", lib.xenlight_unpause, domid)
        except XenlightError:
            self.destroy(domid)
            raise

    def destroy(self, domid: int) -> None:
        """Remove a domain with its devices, qemu and xenstore entries.

        Raises:
            XenlightError: It failed.
        """
        self._call("destroy", lib.xenlight_destroy, domid)

    def rename(self, domid: int, old: str, new: str) -> None:
        """Give it another name.

        Raises:
            XenlightError: It failed.
        """
        names = (old.encode(), new.encode())
        self._call("rename", lib.xenlight_rename, domid, *names)

    def core_dump(self, domid: int, path: str) -> None:
        """Write its memory to a file.

        Raises:
            XenlightError: It failed.
        """
        self._call("core dump", lib.xenlight_core_dump, domid, path.encode())

    def watch(self, domid: int) -> None:
        """Have :meth:`wait` return when this domain shuts down or dies.

        Raises:
            XenlightError: It failed.
        """
        self._call("watch", lib.xenlight_watch_death, domid)

    def wait(self) -> ShutdownEvent:
        """Wait for the next end of a watched domain.

        Raises:
            XenlightError: It failed.
        """
        domid, kind, reason = ffi.new("uint32_t *"), ffi.new("int *"), ffi.new("int *")
        rc = lib.xenlight_wait(self._library, self._context, domid, kind, reason)
        _check("waiting for events", rc)
        is_shutdown = kind[0] == DOMAIN_SHUTDOWN
        return ShutdownEvent(domid[0], reason[0] if is_shutdown else None)

    def _call(self, what: str, function: Any, domid: int, *rest: object) -> None:
        _check(what, function(self._library, self._context, domid, *rest))


def parse_log(data: bytes) -> list[LogLine]:
    """Return the lines in what one read of the log pipe gave; see xenlight.h."""
    lines = []
    while len(data) > _LOG_HEAD.size:
        size, level, errnoval = _LOG_HEAD.unpack_from(data)
        context, _, text = data[_LOG_HEAD.size : size - 1].partition(b"\0")
        shown = (part.decode("utf-8", "backslashreplace") for part in (context, text))
        lines.append(LogLine(level, errnoval, *shown))
        data = data[max(size, _LOG_HEAD.size) :]
    return lines


def _check(what: str, rc: int) -> None:
    if rc:
        raise XenlightError(what, rc)
