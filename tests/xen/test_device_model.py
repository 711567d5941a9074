"""A real HVM guest is saved while its device model dies, hangs or lies."""

import os
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from .faults import COPYING, OLD, request_of, unharmed
from .following import Following
from .support import (
    Guest,
    device_model_of,
    domid_of,
    in_log_dirty_mode,
)

pytestmark = pytest.mark.xen


@contextmanager
def liar_in_place_of_device_model(guest: Guest) -> Iterator[None]:
    """Have somebody listen at its QMP socket who says what is no QMP."""
    path = Path(f"/run/xen/qmp-libxl-{domid_of(guest)}")
    theirs = path.with_name("theirs")
    path.rename(theirs)
    listener = socket.create_server(str(path), family=socket.AF_UNIX)
    threading.Thread(target=lie_to_all, args=[listener], daemon=True).start()
    try:
        yield
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        theirs.rename(path)


def lie_to_all(listener: socket.socket) -> None:
    while True:
        try:
            peer, _ = listener.accept()
        except OSError:
            return  # shut down
        with peer:
            peer.sendall(b"\x00\xff} no QMP {\n")


@pytest.mark.core("device model dead")
def test_device_model_lies_hangs_and_is_killed(make_guest, saved: Path) -> None:
    guest = make_guest("hvm")
    domid, pid = domid_of(guest), device_model_of(guest)
    with unharmed(guest, saved):
        with (
            liar_in_place_of_device_model(guest),
            Following("save", guest.name, saved) as save,
        ):
            line = save.failure()
        assert "device model" in line
        assert "guest is running" in line

        with Following("save", "--live", guest.name, saved) as save:
            save.until_doing(COPYING)
            os.kill(pid, signal.SIGSTOP)
            try:
                line = save.failure()
            finally:
                os.kill(pid, signal.SIGCONT)
        assert "device model did not answer" in line
        assert "guest is running" in line

    # It is not asked to suspend: it might wait for its device model for ever.
    for live in (["--live"], []):
        with Following("save", *live, guest.name, saved) as save:
            if live:
                save.until_doing(COPYING)
                os.kill(pid, signal.SIGKILL)
            line = save.failure()
        assert "device model" in line
        assert "guest is running" in line
        assert guest.running()
        assert request_of(domid) == ""
        assert not in_log_dirty_mode(domid)
        assert saved.read_bytes() == OLD
