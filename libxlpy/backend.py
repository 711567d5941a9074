"""Which hypervisor is used, and where its sockets and files are.

:func:`detect` decides once, when a ``Context`` is entered: real Xen in a dom0, else an
embedded simxen host that runs in the default folder, else a clear error.
"""

import os
import shlex
import socket
import stat
from pathlib import Path
from typing import Literal

from libxlpy.errors import BackendError
from libxlpy.folders import NotOursAlone, check_alone
from libxlpy_protocol.value import Value

Kind = Literal["xen", "simxen"]

XEN_CAPABILITIES = Path("/proc/xen/capabilities")
XEN_TYPE = Path("/sys/hypervisor/type")
XEN_PRIVCMD = (Path("/dev/xen/privcmd"), Path("/proc/xen/privcmd"))
XENSTORE_SOCKETS = (
    Path("/run/xenstored/socket"),
    Path("/var/run/xenstored/socket"),
)
XEN_RUN_DIR = Path("/var/run/xen")
XEN_LIB_DIR = Path("/var/lib/xen")
#: Goes with the machine, as the domains do.
XEN_JOBS_DIR = Path("/run/libxlpy/jobs")
NO_HOST = "no Xen here and no embedded host: start one with `xlpy sim start`"


class Backend(Value):
    """One hypervisor's sockets and files."""

    kind: Kind
    #: Folder of the embedded host; None on Xen.
    host: Path | None
    xenstore_socket: Path
    #: Folder of the QMP sockets, and of the locks of suspend event channels.
    qmp_dir: Path
    #: Folder of the device models' saved states.
    state_dir: Path

    def helper_arguments(self) -> list[str]:
        """Give the helper's options that name this backend."""
        options = ["--backend", self.kind]
        return options if self.host is None else [*options, "--host", str(self.host)]

    def qmp_path(self, domid: int) -> Path:
        """Give the QMP socket of an HVM domain's device model."""
        return self.qmp_dir / f"qmp-libxl-{domid}"

    def suspend_lock_path(self, domid: int) -> Path:
        """Give the file that is locked by who uses a guest's suspend event channel.

        Source: Xen, tools/libs/guest/xg_suspend.c, SUSPEND_LOCK_FILE.
        """
        return self.qmp_dir / f"suspend-evtchn-{domid}.lock"

    def save_path(self, domid: int) -> Path:
        """Give the file that a device model saves its state to."""
        return self.state_dir / f"qemu-save.{domid}"

    def resume_path(self, domid: int) -> Path:
        """Give the file that a new device model loads its state from."""
        return self.state_dir / f"qemu-resume.{domid}"

    @property
    def jobs_dir(self) -> Path:
        """Give the folder of the journal."""
        return XEN_JOBS_DIR if self.host is None else self.host / "jobs"

    @property
    def reports_dir(self) -> Path:
        """Give the folder of the reports of jobs that failed."""
        return self.jobs_dir.with_name("reports")

    def userdata_path(self, domid: int, uuid: str) -> Path:
        """Give the file that holds a domain's configuration (Xen only).

        Source: Xen, tools/libs/light/libxl_dom.c, libxl__userdata_path().
        """
        return XEN_LIB_DIR / f"userdata-d.{domid}.{uuid}.libxl-json"


def detect(kind: str = "auto", host: str | os.PathLike[str] | None = None) -> Backend:
    """Give the backend to use.

    Args:
        kind: ``"auto"``, ``"xen"`` or ``"simxen"``.
        host: Folder of the embedded host; the default folder if None.

    Raises:
        BackendError: There is none, it can't be used, or ``kind`` is unknown.
    """
    if kind == "auto":
        return _detect_any(host)
    if kind == "xen":
        if host is not None:
            raise BackendError("a host folder was given, but the backend is xen")
        return _xen()
    if kind == "simxen":
        return _simxen(host)
    raise BackendError(f"unknown backend {kind!r}: auto, xen or simxen")


def _detect_any(host: str | os.PathLike[str] | None) -> Backend:
    if host is None and in_dom0():
        return _xen()
    try:
        return _simxen(host)
    except BackendError as exc:
        if host is not None or isinstance(exc.__cause__, NotOursAlone):
            raise
        raise BackendError(NO_HOST) from exc


# ----- Xen ------------------------------------------------------------------------


def in_dom0() -> bool:
    """Tell whether this is the control domain of a Xen."""
    try:
        if "control_d" in XEN_CAPABILITIES.read_text():
            return True
    except OSError:
        pass  # xenfs not mounted: the device decides
    try:
        on_xen = XEN_TYPE.read_text().strip() == "xen"
    except OSError:
        return False
    return on_xen and any(path.exists() for path in XEN_PRIVCMD)


def _xen() -> Backend:
    if not in_dom0():
        raise BackendError("this is not the control domain (dom0) of a Xen")
    if os.geteuid() != 0:
        raise BackendError("no permission to control Xen: root is needed")
    for path in XENSTORE_SOCKETS:
        if _is_socket(path):
            return Backend("xen", None, path, XEN_RUN_DIR, XEN_LIB_DIR)
    raise BackendError(f"xenstored is not running: no {XENSTORE_SOCKETS[0]}")


# ----- embedded host --------------------------------------------------------------


def default_host() -> Path:
    """Give the folder of the embedded host that is used when none is named."""
    if os.geteuid() == 0:
        return Path("/run/libxlpy/simxen/default")
    own = os.environ.get("XDG_RUNTIME_DIR") or f"/run/user/{os.geteuid()}"
    return Path(own) / "libxlpy/simxen/default"


def host_option(folder: object) -> str:
    """Give what to tell `xlpy` to use a host's folder; "" if it does so anyway."""
    if folder == default_host():
        return ""
    return f"--host {shlex.quote(str(folder))} "


def _simxen(host: str | os.PathLike[str] | None) -> Backend:
    folder = default_host() if host is None else Path(host).absolute()
    try:
        check_alone(folder)
    except NotOursAlone as exc:
        raise BackendError(f"can't use the embedded host in {folder}: {exc}") from exc
    if not _answers(folder / "control.sock"):
        raise BackendError(
            f"no embedded host in {folder}: start one with "
            f"`xlpy {host_option(folder)}sim start`"
        )
    return Backend("simxen", folder, folder / "xenstored.sock", folder, folder)


def _is_socket(path: Path) -> bool:
    try:
        return stat.S_ISSOCK(path.stat().st_mode)
    except OSError:
        return False


def _answers(path: Path) -> bool:
    """Tell whether something listens on a socket; never waits.

    Raises:
        BackendError: We may not ask it.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        try:
            probe.connect(str(path))
        except BlockingIOError:
            return True  # its queue is full: it lives
        except PermissionError as exc:
            raise BackendError(
                f"no permission to use the embedded host in {path.parent}: run as the "
                "user who started it"
            ) from exc
        except OSError:
            return False
        return True
