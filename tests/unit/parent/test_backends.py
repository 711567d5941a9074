"""Domains as backends tell of them, and which backend is found."""

import os
import socket
from pathlib import Path

import pytest

from libxlpy import backend, errors
from libxlpy.domain import toolstack_simxen as configuration
from libxlpy.domain.info import (
    DYING,
    PAUSED,
    RUNNING,
    SHUT_DOWN,
    DomainFacts,
    guest_state,
)
from libxlpy.results import GuestState
from libxlpy_protocol.messages import OpResult

# ----- domains ------------------------------------------------------------------------


def facts(flags: int, reason: int = 0) -> DomainFacts:
    return DomainFacts.from_result(
        OpResult(0, 0, (7, flags, reason, 25, 25, 1, 0, 0), bytes(16))
    )


@pytest.mark.parametrize(
    ("found", "state"),
    [
        (None, GuestState.GONE),
        (facts(RUNNING), GuestState.RUNNING),
        (facts(0), GuestState.RUNNING),
        (facts(PAUSED), GuestState.PAUSED),
        (facts(SHUT_DOWN, 2), GuestState.SUSPENDED),
        (facts(SHUT_DOWN | PAUSED, 2), GuestState.SUSPENDED),
        (facts(SHUT_DOWN, 3), GuestState.SHUTDOWN),
        (facts(DYING | SHUT_DOWN, 2), GuestState.GONE),
    ],
)
def test_state_of_a_guest_is_read_from_its_flags(
    found: DomainFacts | None, state: GuestState
):
    assert guest_state(found) is state


def test_short_domain_info_is_refused():
    with pytest.raises(errors.BackendError):
        DomainFacts.from_result(OpResult(0, 0, (7,), bytes(16)))


# ----- backends -----------------------------------------------------------------------


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
    import socket

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


async def test_host_that_says_nothing_of_a_domain_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(configuration, "ANSWER_TIMEOUT", 0.2)
    where = backend.Backend("simxen", tmp_path, tmp_path / "xs", tmp_path, tmp_path)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "control.sock"))
        listener.listen()
        with pytest.raises(errors.BackendError, match=r"nothing of domain 7 in 0\.2 s"):
            await configuration.stored_config(where, 7, "")
