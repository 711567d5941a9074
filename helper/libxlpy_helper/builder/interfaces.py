"""Build a domain's interfaces while its memory is still read.

libxenlight adds them once it has all of a stream: a guest that migrates waits then,
suspended, for a script each. So the domain is created without them, and they are
plugged in beside that, as `xl network-attach` does it.

Disks stay with libxenlight: what opens one before its last host has closed it may keep
what it has read. So do emulated cards, which are options of qemu, and interfaces that
have no number or MAC yet.
"""

import json
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

from libxlpy_helper.builder.abort import restored_domid
from libxlpy_helper.xen.xenlight import Toolstack, XenlightError
from libxlpy_protocol.json_text import JsonError, parse

LOOK_AGAIN: Final = 0.05  # seconds between two looks for the domain
#: Seconds for an interface to come to an end, once its domain is gone.
UNDO_MAX: Final = 30.0
#: What libxenlight has to know of the domain meanwhile: of its devices nothing, or it
#: would miss qemu.
KNOWN: Final = ("c_info", "b_info")
NO_DOMID: Final = -1
FAILED: Final = -3  # libxl_error


class Interfaces:
    """The interfaces of one domain that is restored."""

    def __init__(
        self, toolstack: Toolstack, config: bytes, stop: Callable[[], None]
    ) -> None:
        """Find those that can be built early.

        Args:
            toolstack: Builds the domain.
            config: Of the domain, JSON.
            stop: Ends the restore, once one could not be built; any thread may.
        """
        self._toolstack = toolstack
        self._stop_restore = stop
        #: The configuration that the domain is to be created from.
        self.config = config
        self._kept: list[Any] = []
        self._nics: list[bytes] = []
        self._begun: list[bytes] = []
        self._known = b""
        self._domid = NO_DOMID
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._beside, daemon=True)
        #: Why they could not be built.
        self.failure: XenlightError | None = None
        with suppress(JsonError):  # libxenlight says better what is wrong with it
            self._split(parse(config))

    def _split(self, config: Any) -> None:
        if not _can_be_early(config):
            return
        self._kept = config["nics"]
        self._nics = [_bytes(nic) for nic in self._kept]
        self.config = _bytes({**config, "nics": []})
        self._known = _bytes({key: config[key] for key in KNOWN if key in config})

    def begin(self) -> None:
        """Have them built as soon as the domain is there."""
        if self._nics:
            self._thread.start()

    def finish(self, domid: int) -> None:
        """Wait until they are built, and write them down as the domain's.

        Raises:
            XenlightError: They could not be: the domain must not run.
        """
        if not self._nics:
            return
        self._ended.set()
        self._thread.join()
        if not self._begun:  # its memory was read before anybody looked
            self._build(domid)
        if self.failure is not None:
            raise self.failure
        try:
            stored = parse(self._toolstack.stored_config(domid))
        except JsonError as exc:
            raise XenlightError(f"configuration: {exc}", FAILED) from exc
        self._toolstack.store_config(domid, _bytes({**stored, "nics": self._kept}))

    def undo(self) -> None:
        """Take away what came after libxenlight had removed the domain."""
        if not self._nics:
            return
        self._ended.set()
        self._thread.join(UNDO_MAX)
        for nic in self._begun:
            with suppress(XenlightError):  # nothing is left of it
                self._toolstack.remove_interface(self._domid, nic)

    def _beside(self) -> None:
        while (domid := restored_domid()) is None:
            if self._ended.wait(LOOK_AGAIN):
                return
        self._build(domid)
        if self.failure is not None:
            self._stop_restore()

    def _build(self, domid: int) -> None:
        self._domid = domid
        try:
            self._toolstack.store_config(domid, self._known)
            for nic in self._nics:
                self._begun.append(nic)
                self._toolstack.add_interface(domid, nic)
        except XenlightError as exc:
            self.failure = exc


def _can_be_early(config: Any) -> bool:
    """Tell whether a domain has interfaces, all of which can be plugged in."""
    try:
        nics, emulates = config["nics"], config["c_info"]["type"] == "hvm"
        return isinstance(nics, list) and all(
            {"devid", "mac"} <= nic.keys()
            and not (emulates and nic.get("nictype") != "vif")
            for nic in nics
        )
    except (AttributeError, LookupError, TypeError):
        return False  # it has none, or is no configuration


def _bytes(value: object) -> bytes:
    return json.dumps(value).encode()
