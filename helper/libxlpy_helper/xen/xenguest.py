"""libxenguest's functions for Python.

Every call returns as libxc's does, a return value and errno; nothing is judged here.
With ``from_c``, which is called by the library, the only user of the compiled binding.
"""

from __future__ import annotations

import errno
import os

from libxlpy_helper._xenguest import ffi, lib
from libxlpy_helper.xen.event_channel import EventChannel
from libxlpy_helper.xen.from_c import (
    RESTORE_CALLBACKS,
    SAVE_CALLBACKS,
    set_sink,
    text_of,
)
from libxlpy_protocol.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Final

    from libxlpy_helper.xen.from_c import Callbacks

__all__ = [
    "ABI_4_14",
    "ABI_4_15",
    "ABI_4_22",
    "KICK",
    "SIGTERM",
    "DomainInfo",
    "Handle",
    "Library",
    "LoadError",
    "RestoreArguments",
    "Result",
    "can_load",
    "harden",
    "no_core",
    "set_sink",
    "take_signals",
]

ABI_4_14: Final[int] = lib.SHIM_ABI_4_14
ABI_4_15: Final[int] = lib.SHIM_ABI_4_15
ABI_4_22: Final[int] = lib.SHIM_ABI_4_22

# Of C: ``signal`` makes an enum of all, which takes a while.
#: Has the kernel tell of the parent's death.
SIGTERM: Final[int] = lib.SIGTERM
#: Has a blocked system call return.
KICK: Final[int] = lib.SIGUSR1


class Result(Value):
    """What a libxc function returned, and errno behind it (0 on success)."""

    retval: int
    errnoval: int


class LoadError(Exception):
    """A library can't be used; the text is one line."""


class DomainInfo(Value):
    """The front of Xen's xc_domaininfo_t; ``flags`` holds the shutdown reason too."""

    domid: int
    flags: int
    tot_pages: int
    max_pages: int
    nr_online_vcpus: int
    cpu_time_ns: int
    uuid: bytes
    #: Claimed, and not there yet.
    outstanding_pages: int = 0


class RestoreArguments(Value):
    """The numbers xc_domain_restore takes."""

    io_fd: int
    domid: int
    store_evtchn: int
    store_domid: int
    console_evtchn: int
    console_domid: int
    stream_type: int
    send_back_fd: int


class Library:
    """A loaded libxenguest or libsimxen; stays loaded until the process ends."""

    def __init__(self, name: str, version: str, abi: int) -> None:
        """Load it.

        Args:
            name: Path or soname.
            version: Xen release, for people.
            abi: One of ``ABI_4_14``, ``ABI_4_15`` and ``ABI_4_22``.

        Raises:
            LoadError: Not found, not loadable, or a function is missing.
        """
        self.name = name
        self.version = version
        self._library = ffi.new("struct shim_library *")
        error = ffi.new("char[]", lib.SHIM_ERROR_MAX)
        if lib.shim_load(self._library, name.encode(), abi, error):
            raise LoadError(text_of(error))

    def set_simxen_host(self, directory: str) -> None:
        """Tell libsimxen which host to talk to.

        Raises:
            LoadError: This is no libsimxen.
        """
        if lib.shim_set_simxen_host(self._library, directory.encode()):
            raise LoadError(f"{self.name}: simxen_set_host: {os.strerror(ffi.errno)}")

    def open(self) -> Handle:
        """Open a handle to the hypervisor; each thread needs its own.

        Raises:
            OSError: Not dom0, no permission, no simxen host.
        """
        ffi.errno = 0
        xch = lib.shim_interface_open(self._library)
        if xch == ffi.NULL:
            number = ffi.errno
            raise OSError(number, f"xc_interface_open: {os.strerror(number)}")
        return Handle(self._library, xch)


class Handle:
    """One open ``xc_interface``; used by one thread."""

    def __init__(self, library: Any, xch: Any) -> None:
        self._library = library
        self._xch = xch

    def spliced(self) -> int:
        """Bytes that came out of streams without being read; for any thread."""
        return int(lib.shim_spliced(self._library))

    def close(self) -> None:
        """Close it; a second time does nothing."""
        if self._xch is not None:
            lib.shim_interface_close(self._library, self._xch)
            self._xch = None

    def save(
        self,
        *,
        io_fd: int,
        domid: int,
        flags: int,
        callbacks: Callbacks,
        offered: frozenset[str],
        stream_type: int,
        recv_fd: int,
    ) -> Result:
        """xc_domain_save; callbacks not in ``offered`` are NULL."""
        data = ffi.new_handle(callbacks)
        table = ffi.new("struct save_callbacks *", {"data": data})
        for name in offered.intersection(SAVE_CALLBACKS):
            setattr(table, name, getattr(lib, f"on_{name}"))
        return _result(
            lib.shim_domain_save,
            *(self._library, self._xch, io_fd, domid, flags, table),
            *(stream_type, recv_fd),
        )

    def restore(
        self, arguments: RestoreArguments, callbacks: Callbacks, offered: frozenset[str]
    ) -> tuple[Result, int, int]:
        """xc_domain_restore; its result, store gfn and console gfn."""
        data = ffi.new_handle(callbacks)
        table = ffi.new("struct restore_callbacks *", {"data": data})
        for name in offered.intersection(RESTORE_CALLBACKS):
            setattr(table, name, getattr(lib, f"on_{name}"))
        numbers = ffi.new("struct shim_restore_arguments *", vars(arguments))
        gfns = ffi.new("unsigned long[2]")
        result = _result(
            lib.shim_domain_restore,
            *(self._library, self._xch, numbers, table, gfns, gfns + 1),
        )
        return result, gfns[0], gfns[1]

    def info(self, first: int) -> DomainInfo | None:
        """Return the first domain with an id of ``first`` or more; None: no more.

        Raises:
            OSError: The hypervisor refused.
        """
        info = ffi.new("struct xen_domctl_getdomaininfo *")
        found = lib.shim_domain_info(self._library, self._xch, first, info)
        if found < 0:
            raise OSError(ffi.errno, f"getdomaininfo: {os.strerror(ffi.errno)}")
        if not found:
            return None
        return DomainInfo(
            domid=info.domain,
            flags=info.flags,
            tot_pages=info.tot_pages,
            max_pages=info.max_pages,
            nr_online_vcpus=info.nr_online_vcpus,
            cpu_time_ns=info.cpu_time,
            uuid=bytes(info.handle),
            outstanding_pages=info.outstanding_pages,
        )

    def capabilities(self) -> int:
        """Return what this Xen can do, as bits ``XEN_SYSCTL_PHYSCAP_*``.

        Raises:
            OSError: The hypervisor refused.
        """
        found = ffi.new("uint32_t *")
        if lib.shim_capabilities(self._library, self._xch, found):
            raise OSError(ffi.errno, f"physinfo: {os.strerror(ffi.errno)}")
        return int(found[0])

    def free_memory(self) -> int:
        """Return the bytes that no domain has, what is claimed of them included.

        Raises:
            OSError: The hypervisor refused.
        """
        found = ffi.new("uint64_t *")
        if lib.shim_free_memory(self._library, self._xch, found):
            raise OSError(ffi.errno, f"availheap: {os.strerror(ffi.errno)}")
        return int(found[0])

    def command_line(self) -> str:
        """Return the options that Xen was booted with, as far as it tells them.

        Raises:
            OSError: The hypervisor refused.
        """
        text = ffi.new("char[]", lib.SHIM_COMMAND_LINE_MAX)
        if lib.shim_command_line(self._library, self._xch, text) < 0:
            raise OSError(ffi.errno, f"version: {os.strerror(ffi.errno)}")
        return text_of(text)

    def claim(self, domid: int, pages: int) -> Result:
        """xc_domain_claim_pages; 0 gives a claim back."""
        return _result(lib.shim_domain_claim, self._library, self._xch, domid, pages)

    def hvm_param(self, domid: int, param: int) -> int:
        """Return one of ``HVM_PARAM_*`` of a domain that is no PV domain.

        Raises:
            OSError: There is no such domain, or it is PV.
        """
        value = ffi.new("uint64_t *")
        if lib.shim_hvm_param(self._library, self._xch, domid, param, value):
            raise OSError(ffi.errno, f"hvm_param_get: {os.strerror(ffi.errno)}")
        return int(value[0])

    def event_channel(self, domid: int, port: int) -> EventChannel:
        """Bind an event channel that a guest offers for its suspension.

        Raises:
            OSError: It can't be bound.
        """
        return EventChannel(self._library, self._xch, domid, port)

    def pause(self, domid: int) -> Result:
        """xc_domain_pause."""
        return _result(lib.shim_domain_pause, self._library, self._xch, domid)

    def unpause(self, domid: int) -> Result:
        """xc_domain_unpause."""
        return _result(lib.shim_domain_unpause, self._library, self._xch, domid)

    def shutdown(self, domid: int, reason: int) -> Result:
        """xc_domain_shutdown."""
        return _result(
            lib.shim_domain_shutdown, self._library, self._xch, domid, reason
        )

    def resume(self, domid: int, fast: int) -> Result:
        """xc_domain_resume; fast 1: the guest's suspend call returns "cancelled"."""
        return _result(lib.shim_domain_resume, self._library, self._xch, domid, fast)

    def destroy(self, domid: int) -> Result:
        """xc_domain_destroy."""
        return _result(lib.shim_domain_destroy, self._library, self._xch, domid)

    def logdirty_on(self, domid: int) -> Result:
        """SHADOW_OP_ENABLE_LOGDIRTY; EINVAL: it is on already."""
        return _result(lib.shim_logdirty_on, self._library, self._xch, domid)

    def dirty_count(self, domid: int) -> int:
        """Return how many pages are logged as dirty; they stay so.

        Raises:
            OSError: The hypervisor refused.
        """
        found = ffi.new("uint32_t *")
        if lib.shim_dirty_count(self._library, self._xch, domid, found):
            raise OSError(ffi.errno, f"dirty_count: {os.strerror(ffi.errno)}")
        return int(found[0])

    def logdirty_off(self, domid: int) -> Result:
        """SHADOW_OP_OFF; done, too, for a domain that has no log-dirty mode.

        One that merely does not log is no error to Xen. EINVAL says that it can't: a PV
        domain where Xen has no shadow paging, one without vcpus, or one that is dying.

        Xen: xen/arch/x86/mm/paging.c, paging_domctl(); include/asm/shadow.h.
        """
        result = _result(lib.shim_logdirty_off, self._library, self._xch, domid)
        return Result(0, 0) if result.errnoval == errno.EINVAL else result


def can_load(name: str) -> bool:
    """Tell whether the loader finds this library."""
    return bool(lib.shim_can_load(name.encode()))


def harden(death_signal: int) -> None:
    """Get ``death_signal`` when the parent ends; no new privileges; no core dump.

    Raises:
        OSError: The kernel refused.
    """
    if lib.shim_harden(death_signal):
        raise OSError(ffi.errno, os.strerror(ffi.errno))


def no_core() -> None:
    """Leave no core, whatever this process becomes or starts.

    Raises:
        OSError: The kernel refused.
    """
    if lib.shim_no_core():
        raise OSError(ffi.errno, os.strerror(ffi.errno))


def take_signals() -> int:
    """Block all signals but the kick, here and in threads started later.

    SIGPIPE is ignored by all Pythons: a dead receiver is EPIPE.

    Returns:
        A non-blocking signalfd: readable after SIGTERM, SIGINT or SIGHUP.

    Raises:
        OSError: The kernel refused.
    """
    fd: int = lib.shim_take_signals(KICK)
    if fd < 0:
        raise OSError(ffi.errno, os.strerror(ffi.errno))
    return fd


def _result(function: Callable[..., int], *arguments: object) -> Result:
    ffi.errno = 0
    retval = function(*arguments)
    return Result(retval, ffi.errno if retval else 0)
