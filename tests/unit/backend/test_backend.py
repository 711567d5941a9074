"""Which backend is found, and what is said if none is."""

import os
import socket
from pathlib import Path

import pytest

from libxlpy import backend, errors


@pytest.fixture
def dom0(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make this look like the control domain of a Xen, xenstored aside."""
    (tmp_path / "capabilities").write_text("control_d\n")
    monkeypatch.setattr(backend, "XEN_CAPABILITIES", tmp_path / "capabilities")
    monkeypatch.setattr(backend, "XENSTORE_SOCKETS", (tmp_path / "socket",))
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    return tmp_path


def test_dom0_without_xenstored_is_told(dom0: Path):
    with pytest.raises(errors.BackendError, match="xenstored is not running"):
        backend.detect()


def test_dom0_is_found_before_an_embedded_host(dom0: Path):
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(dom0 / "socket"))
        found = backend.detect()
    assert (found.kind, found.host) == ("xen", None)
    assert found.qmp_path(7) == Path("/var/run/xen/qmp-libxl-7")
    assert found.save_path(7) == Path("/var/lib/xen/qemu-save.7")
    assert found.userdata_path(7, "u") == Path("/var/lib/xen/userdata-d.7.u.libxl-json")
    assert found.helper_arguments() == ["--backend", "xen"]


def test_dom0_without_rights_is_told(dom0: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(errors.BackendError, match="root is needed"):
        backend.detect()


def test_neither_xen_nor_host_names_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(backend, "XEN_CAPABILITIES", tmp_path / "none")
    monkeypatch.setattr(backend, "XEN_TYPE", tmp_path / "none")
    monkeypatch.setattr(backend, "default_host", lambda: tmp_path)
    with pytest.raises(errors.BackendError, match="xlpy sim start"):
        backend.detect()
    with pytest.raises(errors.BackendError, match="control domain"):
        backend.detect("xen")
    with pytest.raises(errors.BackendError, match="unknown backend"):
        backend.detect("kvm")
    with pytest.raises(errors.BackendError, match="with `xlpy sim start`"):
        backend.detect("simxen")
    other = tmp_path / "o t"
    with pytest.raises(errors.BackendError, match=f"xlpy --host '{other}' sim start"):
        backend.detect("auto", other)
