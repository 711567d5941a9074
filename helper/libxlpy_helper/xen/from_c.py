"""The extern "Python" functions: libxc calls them, they call Python objects.

A callback's object is found through libxc's ``data`` pointer; the logger has none, so
its receiver is one for the whole process. The objects' methods don't raise; should one
do so all the same, cffi prints it and returns the ``error`` value given here, which is
the one that makes libxc clean up.
"""

from __future__ import annotations

from libxlpy_helper._xenguest import ffi, lib

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Final, Protocol, TypeVar

    Function = TypeVar("Function", bound=Callable[..., object])

    class Callbacks(Protocol):
        """What libxc may ask during a save or restore. No method may raise."""

        def suspend(self) -> int:
            """Give 1 done, 0 failed."""
            ...

        def precopy_policy(self, iteration: int, written: int, dirty: int) -> int:
            """Give -1 abort, 0 go on, 1 stop and copy."""
            ...

        def postcopy(self) -> int:
            """Give 1 go on, 0 stop."""
            ...

        def checkpoint(self) -> int:
            """Give 1 go on, 0 stop, restore: 2 fail over."""
            ...

        def wait_checkpoint(self) -> int:
            """Give 1 go on, 0 stop."""
            ...

        def switch_qemu_logdirty(self, domid: int, enable: bool) -> int:
            """Give 0 done."""
            ...

        def static_data_done(self, missing: int) -> int:
            """Give 0 done."""
            ...

        def restore_results(self, store_gfn: int, console_gfn: int) -> None:
            """Tell the frames of the two rings."""
            ...


#: Names of Xen's callbacks, by the struct that holds them.
SAVE_CALLBACKS: Final = (
    "suspend",
    "precopy_policy",
    "postcopy",
    "checkpoint",
    "wait_checkpoint",
    "switch_qemu_logdirty",
)
RESTORE_CALLBACKS: Final = (
    "static_data_done",
    "suspend",
    "postcopy",
    "checkpoint",
    "wait_checkpoint",
    "restore_results",
)


class _Sink:
    """Where log and progress go; libxc's logger has no data pointer."""

    log: Callable[[int, int, str, str], None]
    progress: Callable[[str, str, int, int], None]
    table: Any = None  # keeps the C struct alive


def set_sink(
    log: Callable[[int, int, str, str], None],
    progress: Callable[[str, str, int, int], None],
) -> None:
    """Send libxc's messages to these; once, before the first handle is opened.

    Args:
        log: Takes level, errnoval, context, text.
        progress: Takes context, doing_what, done, total.
    """
    _Sink.log = staticmethod(log)
    _Sink.progress = staticmethod(progress)
    _Sink.table = ffi.new("struct shim_sink *", {"log": lib.on_log})
    _Sink.table.progress = lib.on_progress
    lib.shim_set_sink(_Sink.table)


def text_of(pointer: Any) -> str:
    """Return the string at a ``const char *``, whatever its bytes are."""
    raw: bytes = ffi.string(pointer)
    return raw.decode("utf-8", "backslashreplace")


def _called_by_c(error: int | None = None) -> Callable[[Function], Function]:
    """Make the extern "Python" function of the same name be this one."""

    def register(function: Function) -> Function:
        ffi.def_extern(error=error)(function)
        return function

    return register


@_called_by_c()
def on_log(level: int, errnoval: int, context: Any, text: Any) -> None:
    """See struct shim_sink."""
    _Sink.log(level, errnoval, text_of(context), text_of(text))


@_called_by_c()
def on_progress(context: Any, doing_what: Any, done: int, total: int) -> None:
    """See struct shim_sink."""
    _Sink.progress(text_of(context), text_of(doing_what), done, total)


@_called_by_c(error=0)
def on_suspend(data: Any) -> int:
    """See struct save_callbacks."""
    return _callbacks(data).suspend()


@_called_by_c(error=-1)
def on_precopy_policy(stats: Any, data: Any) -> int:
    """See struct save_callbacks; ``stats`` comes by value."""
    return _callbacks(data).precopy_policy(
        stats.iteration, stats.total_written, stats.dirty_count
    )


@_called_by_c(error=0)
def on_postcopy(data: Any) -> int:
    """See struct save_callbacks."""
    return _callbacks(data).postcopy()


@_called_by_c(error=0)
def on_checkpoint(data: Any) -> int:
    """See struct save_callbacks and restore_callbacks."""
    return _callbacks(data).checkpoint()


@_called_by_c(error=0)
def on_wait_checkpoint(data: Any) -> int:
    """See struct save_callbacks."""
    return _callbacks(data).wait_checkpoint()


@_called_by_c(error=-1)
def on_switch_qemu_logdirty(domid: int, enable: int, data: Any) -> int:
    """See struct save_callbacks."""
    return _callbacks(data).switch_qemu_logdirty(domid, bool(enable))


@_called_by_c(error=-1)
def on_static_data_done(missing: int, data: Any) -> int:
    """See struct restore_callbacks."""
    return _callbacks(data).static_data_done(missing)


@_called_by_c()
def on_restore_results(store_gfn: int, console_gfn: int, data: Any) -> None:
    """See struct restore_callbacks."""
    _callbacks(data).restore_results(store_gfn, console_gfn)


def _callbacks(data: Any) -> Callbacks:
    callbacks: Callbacks = ffi.from_handle(data)
    return callbacks
