"""The fake libxenguest, compiled once, and a host directory for each test."""

import contextlib
import os
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from libxlpy.simxen import client
from tests.support.compiling import compile_fake
from tests.support.helper_driver import FakeHost
from tests.support.simxen_host import Simxen


@pytest.fixture(scope="session")
def fake_library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The fake with the functions of Xen 4.16 to 4.21."""
    return compile_fake(tmp_path_factory.mktemp("fake") / "libfake.so")


@pytest.fixture
def host(tmp_path: Path, fake_library: Path) -> FakeHost:
    """A fake host with one running PV domain, 7."""
    return FakeHost(tmp_path, fake_library)


@pytest.fixture
def simxen(tmp_path: Path) -> Iterator[Simxen]:
    """A simxen host of one test."""
    host = Simxen(tmp_path / "h")
    yield host
    client.stop_host(host.directory)


@pytest.fixture
def stream_fd(tmp_path: Path) -> Iterator[int]:
    """A file to save to or restore from, open for both."""
    fd = os.open(tmp_path / "image", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    yield fd
    os.close(fd)


@pytest.fixture
def full_pipe() -> Iterator[int]:
    """The write end of a pipe that nobody empties."""
    read_fd, write_fd = os.pipe()
    yield write_fd
    os.close(read_fd)
    os.close(write_fd)


@pytest.fixture
def silent_socket(tmp_path: Path) -> Iterator[Path]:
    """A socket that takes connections and never says a word."""
    path = tmp_path / "silent"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(str(path))
        listener.listen()
        yield path


@pytest.fixture
def liar(tmp_path: Path) -> Iterator[Callable[[bytes], Path]]:
    """Give a function that makes a socket which says one thing to all who connect."""
    path = tmp_path / "liar"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        threads: list[threading.Thread] = []

        def serve(answer: bytes) -> None:
            while True:
                try:
                    client, _ = listener.accept()
                except OSError:
                    return  # the test is over
                with client, contextlib.suppress(OSError):  # it may not listen
                    client.sendall(answer)
                    client.recv(4096)

        def start(answer: bytes) -> Path:
            listener.bind(str(path))
            listener.listen()
            threads.append(threading.Thread(target=serve, args=(answer,)))
            threads[0].start()
            return path

        yield start
        listener.shutdown(socket.SHUT_RDWR)
        for thread in threads:
            thread.join()
