"""The QMP commands that a toolstack uses to save and restore, one function each.

Source: QEMU, qapi/migration.json, qapi/misc.json, qapi/run-state.json.
"""

import os
import re
from collections.abc import Callable, Mapping
from typing import Any

from libxlpy.simxen.device_model import DeviceModel, write_state

_FDSET = re.compile(r"/dev/fdset/([0-9]{1,9})", re.ASCII)


class AssertionDied(Exception):  # noqa: N818 - says what becomes of it
    """The device model ends at once, as qemu does at what must not be."""


class QmpError(Exception):
    """A command fails.

    Args:
        kind: Error class, such as ``GenericError``.
        text: The description.
    """

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(text)
        self.kind = kind


class FdSets:
    """The descriptors that a client sent, by the number of their set."""

    def __init__(self) -> None:
        self.received: list[int] = []
        self._sets: dict[int, list[int]] = {}

    def add(self, number: int | None) -> tuple[int, int]:
        """Put the oldest received descriptor into a set, a new one if not told.

        Returns:
            Number of the set, and the descriptor.

        Raises:
            QmpError: No descriptor came with the command.
        """
        if not self.received:
            raise QmpError("GenericError", "No file descriptor supplied via SCM_RIGHTS")
        fd = self.received.pop(0)
        if number is None:
            number = min(set(range(len(self._sets) + 1)) - set(self._sets))
        self._sets.setdefault(number, []).append(fd)
        return number, fd

    def remove(self, number: int) -> None:
        """Close a set's descriptors.

        Raises:
            QmpError: There is no such set.
        """
        if number not in self._sets:
            raise QmpError("GenericError", f"File descriptor set {number} not found")
        for fd in self._sets.pop(number):
            os.close(fd)

    def duplicate(self, number: int) -> int:
        """Give a copy of a set's descriptor.

        Raises:
            QmpError: There is no such set.
        """
        if number not in self._sets:
            raise QmpError("GenericError", f"File descriptor set {number} not found")
        return os.dup(self._sets[number][0])

    def close(self) -> None:
        """Close all descriptors."""
        for number in tuple(self._sets):
            self.remove(number)
        while self.received:
            os.close(self.received.pop())


def _argument(arguments: Mapping[str, Any], name: str, kind: type) -> Any:
    value = arguments.get(name)
    if value is None:
        raise QmpError("GenericError", f"Parameter '{name}' is missing")
    if type(value) is not kind:
        raise QmpError("GenericError", f"Invalid parameter type for '{name}'")
    return value


def _query_status(dm: DeviceModel, _fds: FdSets, _arguments: Any) -> Any:
    status = "running" if dm.running else "paused"
    return {"status": status, "running": dm.running, "singlestep": False}


def _query_version(_dm: DeviceModel, _fds: FdSets, _arguments: Any) -> Any:
    return {"qemu": {"major": 7, "minor": 2, "micro": 0}, "package": "simxen"}


def _query_commands(_dm: DeviceModel, _fds: FdSets, _arguments: Any) -> Any:
    return [{"name": name} for name in sorted(COMMANDS)]


def _stop(dm: DeviceModel, _fds: FdSets, _arguments: Any) -> Any:
    dm.running = False
    return {}


def _cont(dm: DeviceModel, _fds: FdSets, _arguments: Any) -> Any:
    dm.running = True
    return {}


def _set_dirty_log(dm: DeviceModel, _fds: FdSets, arguments: Any) -> Any:
    enable = _argument(arguments, "enable", bool)
    if not (enable or dm.dirty_log):
        raise AssertionDied  # as qemu since 6.2, memory_global_dirty_log_do_stop()
    dm.dirty_log = enable
    return {}


def _save_devices_state(dm: DeviceModel, fds: FdSets, arguments: Any) -> Any:
    filename = _argument(arguments, "filename", str)
    if "live" in arguments:
        _argument(arguments, "live", bool)
    try:
        fd = _open_state(filename, fds)
        try:
            write_state(fd, dm.save())
        finally:
            os.close(fd)
    except OSError as exc:
        text = f"Could not save state to '{filename}': {exc.strerror}"
        raise QmpError("GenericError", text) from exc
    return {}


def _open_state(filename: str, fds: FdSets) -> int:
    match = _FDSET.fullmatch(filename)
    if match:
        return fds.duplicate(int(match[1]))
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
    return os.open(filename, flags, 0o600)


def _add_fd(_dm: DeviceModel, fds: FdSets, arguments: Any) -> Any:
    number = arguments.get("fdset-id")
    if number is not None:
        number = _argument(arguments, "fdset-id", int)
    fdset, fd = fds.add(number)
    return {"fdset-id": fdset, "fd": fd}


def _remove_fd(_dm: DeviceModel, fds: FdSets, arguments: Any) -> Any:
    fds.remove(_argument(arguments, "fdset-id", int))
    return {}


def _nothing(_dm: DeviceModel, _fds: FdSets, _arguments: Any) -> Any:
    return {}


def _negotiated(_dm: DeviceModel, _fds: FdSets, _arguments: Any) -> Any:
    text = "Capabilities negotiation is already complete, command ignored"
    raise QmpError("CommandNotFound", text)


Command = Callable[[DeviceModel, FdSets, Any], Any]

COMMANDS: Mapping[str, Command] = {
    "qmp_capabilities": _negotiated,
    "query-status": _query_status,
    "query-version": _query_version,
    "query-commands": _query_commands,
    "stop": _stop,
    "cont": _cont,
    "xen-set-global-dirty-log": _set_dirty_log,
    "xen-save-devices-state": _save_devices_state,
    "add-fd": _add_fd,
    "remove-fd": _remove_fd,
    "quit": _nothing,
}
