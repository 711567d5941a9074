"""Look after a domain until it ends, as `xl` does: what its configuration says.

A process of its own that outlives whoever restored the domain. It ends with the
domain, unless the configuration says that it starts anew.
"""

import json
import os
import sys
import time
import uuid
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Final, NoReturn

from libxlpy_helper.domain_ops import find, is_suspended
from libxlpy_helper.launch import python
from libxlpy_helper.options import Options
from libxlpy_helper.peers.xenstore import XenstoreClient
from libxlpy_helper.xen.library import open_library
from libxlpy_helper.xen.xenguest import Handle
from libxlpy_helper.xen.xenlight import Toolstack, XenlightError, parse_log
from libxlpy_protocol.fields import printable
from libxlpy_protocol.xen import (
    SHUTDOWN_CRASH,
    SHUTDOWN_POWEROFF,
    SHUTDOWN_REBOOT,
    SHUTDOWN_SOFT_RESET,
    SHUTDOWN_SUSPEND,
    SHUTDOWN_WATCHDOG,
)

#: Shutdown reason -> key of the configuration that says what to do, and its default.
POLICIES: Final = {
    SHUTDOWN_POWEROFF: ("on_poweroff", "destroy"),
    SHUTDOWN_REBOOT: ("on_reboot", "restart"),
    SHUTDOWN_CRASH: ("on_crash", "destroy"),
    SHUTDOWN_WATCHDOG: ("on_watchdog", "destroy"),
    SHUTDOWN_SOFT_RESET: ("on_soft_reset", "destroy"),
}
DUMPS: Final = "/var/lib/xen/dump"
LOG: Final = "/var/log/xen/xlpy-{}.log"
LOOK_AGAIN: Final = 0.5  # seconds between two looks at a suspended domain
XENSTORE_MAX: Final = 10.0  # seconds for xenstored to tell a name


def start(domid: int, config: bytes, xenstore_path: str) -> None:
    """Start a monitor of ``domid`` and leave it alone.

    It gets none of our descriptors: as long as it had the stream, or a pipe, no peer
    would see its end.

    Args:
        domid: Of the domain.
        config: What it was made with.
        xenstore_path: Xenstored's socket.
    """
    passed = _inheritable()
    fd = os.memfd_create("libxlpy-config", 0)
    os.write(fd, config)
    os.lseek(fd, 0, os.SEEK_SET)
    arguments = [str(domid), str(fd), xenstore_path]
    argv = [*python("libxlpy_helper.builder.monitor"), *arguments]
    null = (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDWR, 0)
    files = [null, (os.POSIX_SPAWN_DUP2, 0, 1), (os.POSIX_SPAWN_DUP2, 0, 2)]
    files += [(os.POSIX_SPAWN_CLOSE, each) for each in passed]
    os.posix_spawn(
        sys.executable, argv, {"PATH": os.defpath}, file_actions=files, setsid=True
    )
    os.close(fd)


def _inheritable() -> list[int]:
    open_now = [int(path.name) for path in Path("/proc/self/fd").iterdir()]
    return [fd for fd in open_now if _is_inheritable(fd)]


def _is_inheritable(fd: int) -> bool:
    try:
        return fd > 2 and os.get_inheritable(fd)
    except OSError:
        return False  # of the listing itself


class Monitor:
    """One domain, and those that follow it."""

    def __init__(
        self, toolstack: Toolstack, handle: Handle, config: bytes, xenstore_path: str
    ) -> None:
        self._toolstack = toolstack
        self._handle = handle
        self._xenstore_path = xenstore_path
        self._parsed: dict[str, Any] = json.loads(config)
        # A domid was for the first one: libxenlight gives none twice within a minute.
        self._parsed.get("c_info", {}).pop("domid", None)
        self._actions: dict[str, Callable[[int], int | None]] = {
            "destroy": self._destroy,
            "restart": self._restart,
            "rename-restart": self._rename_restart,
            "preserve": lambda _: None,
            "coredump-destroy": lambda domid: self._destroy(self._dump(domid)),
            "coredump-restart": lambda domid: self._restart(self._dump(domid)),
        }

    @property
    def name(self) -> str:
        """The domain's name, as configured, or as it was called at its end."""
        return str(self._parsed.get("c_info", {}).get("name", ""))

    def run(self, domid: int) -> None:
        """Serve until nothing is left to look after.

        Raises:
            XenlightError: libxenlight failed.
        """
        following: int | None = domid
        while following is not None:
            following = self._one(following)

    def _one(self, domid: int) -> int | None:
        """Wait for a domain's end and act; the domid to look after then, or None."""
        self._toolstack.watch(domid)
        while (event := self._toolstack.wait()).domid != domid:
            pass  # of a domain that we had before
        if event.reason is None:
            return None
        if event.reason == SHUTDOWN_SUSPEND:
            return self._until_resumed(domid)
        key, default = POLICIES.get(event.reason, ("on_crash", "destroy"))
        action = str(self._parsed.get(key, default)).replace("_", "-")
        _say(f"domain {domid} shut down, reason {event.reason}: {action}")
        self._learn_name(domid)
        return self._actions.get(action, self._destroy)(domid)

    def _until_resumed(self, domid: int) -> int | None:
        """Wait while somebody saves it."""
        while (info := find(self._handle, domid)) is not None:
            if not is_suspended(info):
                return domid
            time.sleep(LOOK_AGAIN)
        return None

    def _learn_name(self, domid: int) -> None:
        """Take the name that the domain has: somebody may have renamed it.

        Xen: tools/xl/xl_vmcontrol.c, reload_domain_config().
        """
        end_by = time.monotonic() + XENSTORE_MAX
        try:
            with closing(
                XenstoreClient(self._xenstore_path, end_by, XENSTORE_MAX)
            ) as store:
                name = store.read(f"/local/domain/{domid}/name").decode()
        except (OSError, ValueError) as exc:
            _say(f"can't read the name of domain {domid}, takes '{self.name}': {exc}")
            return
        if name:
            self._parsed.setdefault("c_info", {})["name"] = name

    def _destroy(self, domid: int) -> int | None:
        self._toolstack.destroy(domid)
        return None

    def _restart(self, domid: int) -> int | None:
        self._toolstack.destroy(domid)
        return self._boot(self._parsed)

    def _rename_restart(self, domid: int) -> int | None:
        """Keep the old one under another name; the new one gets another uuid."""
        self._toolstack.rename(domid, self.name, f"{self.name}-{int(time.time())}")
        created = {**self._parsed["c_info"], "uuid": str(uuid.uuid4())}
        return self._boot({**self._parsed, "c_info": created})

    def _boot(self, config: dict[str, Any]) -> int:
        domid = self._toolstack.create(json.dumps(config).encode())
        self._toolstack.launch(domid)
        return domid

    def _dump(self, domid: int) -> int:
        self._toolstack.core_dump(domid, f"{DUMPS}/{self.name.replace('/', '_')}")
        return domid


def main(argv: Sequence[str]) -> NoReturn:
    """``DOMID CONFIG_FD XENSTORE``: look after the domain; the entry point."""
    domid, config_fd, xenstore_path = argv
    with os.fdopen(int(config_fd), "rb") as file:
        config = file.read()
    library = open_library(Options(os.getppid(), "xen", host="", library=""))
    read_fd, write_fd = os.pipe()
    os.set_blocking(read_fd, False)
    toolstack = Toolstack(library.version, write_fd)
    monitor = Monitor(toolstack, library.open(), config, xenstore_path)
    _log_to(LOG.format(monitor.name.replace("/", "_")))
    try:
        monitor.run(int(domid))
    except XenlightError as exc:
        _say(str(exc))
        for line in parse_log(os.read(read_fd, 1 << 20)):
            _say(line.text)
        sys.exit(1)
    sys.exit(0)


def _log_to(path: str) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o640)
    os.dup2(fd, 2)
    os.close(fd)


def _say(text: str) -> None:
    sys.stderr.write(f"{time.strftime('%F %T')} {printable(text)}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    main(sys.argv[1:])
