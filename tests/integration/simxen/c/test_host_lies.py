"""A host that answers wrongly is an I/O error, and its descriptors are not kept."""

import contextlib
import errno
import os
import socket
import struct
import threading

import pytest

from tests.integration.simxen.c.driving import PLAIN, Run

GOOD = struct.pack("<ii15Q", 0, 0, *[1] * 15)


@contextlib.contextmanager
def lying_host(directory, reply, fds):
    """Answer every request on hypervisor.sock with ``reply`` and ``fds``."""
    directory.mkdir()
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    listener.bind(str(directory / "hypervisor.sock"))
    listener.listen()

    def serve():
        with contextlib.suppress(OSError):
            while True:
                sock, _ = listener.accept()
                with sock:
                    while sock.recv(4096):
                        if reply is None:
                            break
                        socket.send_fds(sock, [reply], fds)

    thread = threading.Thread(target=serve)
    thread.start()
    yield
    listener.shutdown(socket.SHUT_RDWR)
    thread.join()
    listener.close()


LIES = {
    "closed connection": (None, 0),
    "short reply": (GOOD[:-1], 0),
    "long reply": (GOOD + b"x", 0),
    "descriptors nobody asked for": (GOOD, 3),
    "more descriptors than fit": (GOOD, 40),
}


@pytest.mark.parametrize(("reply", "count"), LIES.values(), ids=LIES.keys())
def test_lie_is_an_io_error(sanitized, tmp_path, image, reply, count):
    null = os.open("/dev/null", os.O_RDONLY)
    with lying_host(tmp_path / "host", reply, [null] * count):
        args = ("save", 1, image, 0, PLAIN)
        outcome = Run(sanitized, tmp_path / "host", *args, fd=image).outcome()
    os.close(null)
    assert (outcome.retval, outcome.errno) == (-1, errno.EIO)
    assert outcome.errors[0].startswith("Failed to get dominfo")


def test_memory_that_is_too_small_is_refused(sanitized, tmp_path, image):
    """Mapping past a file's end would be SIGBUS at the first access."""
    null = os.open("/dev/null", os.O_RDONLY)
    with lying_host(tmp_path / "host", GOOD, [null, null]):
        args = ("restore", 1, image, 0, PLAIN)
        outcome = Run(sanitized, tmp_path / "host", *args, fd=image).outcome()
    os.close(null)
    assert (outcome.retval, outcome.errno) == (-1, errno.EIO)
    assert outcome.errors[0].startswith("Failed to map domain")
