"""No thread, no descriptor: a typed error, and what has ended is known all the same."""

import contextlib
import gc
import os
import resource
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from libxlpy.aio import aside
from libxlpy.cli.main import main
from libxlpy.domain import qmp
from libxlpy.errors import BackendError, QmpError
from libxlpy.libxl.own_thread import OwnThread
from libxlpy.process.helper import start_process
from libxlpy.simxen.client import SimClient
from libxlpy.simxen.errors import SimxenError

ROOT = Path(__file__).parents[3]
WHY = r"can't start new thread: there are too many \(ulimit -u, or the cgroup's"
HELPS = r"raise it \(ulimit -n\)"
#: Ends a process while no file can be opened; nothing is imported late, then.
FULL = """
import asyncio, os
import libxlpy.aio
from libxlpy.process.helper import start_process
from libxlpy_protocol.fields import printable

async def main():
    process = await start_process(["/bin/cat"], (), 20.0)
    process.hang_up()
    try:
        while True:
            os.dup(0)
    except OSError:
        pass
    status = await process.wait()
    print(status, process.rusage is not None, printable(chr(27)))
    await asyncio.to_thread(print, "beside")

asyncio.run(main())
"""


@pytest.fixture
def threads_left(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many more threads can be started."""
    left = [0]
    start = threading.Thread.start

    def scarce(thread: threading.Thread) -> None:
        if not left[0]:
            raise RuntimeError("can't start new thread")
        left[0] -= 1
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", scarce)
    return left


@contextlib.contextmanager
def no_descriptors() -> Iterator[None]:
    """Meanwhile there are no more of them."""
    lowest = os.dup(0)
    os.close(lowest)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_no_descriptor_for_libxl() -> None:
    """And nothing is said once more when the loop that never was is collected."""
    with no_descriptors(), pytest.raises(BackendError, match=HELPS):
        OwnThread()
    gc.collect()


async def test_no_descriptor_is_no_host_that_does_not_run(tmp_path: Path) -> None:
    with no_descriptors(), pytest.raises(SimxenError, match=HELPS):
        await SimClient(tmp_path).__aenter__()


async def test_no_descriptor_for_the_device_model(tmp_path: Path) -> None:
    with no_descriptors(), pytest.raises(QmpError, match=HELPS):
        await qmp.connect(tmp_path / "qmp", timeout=1.0)


def open_now() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.mark.usefixtures("threads_left")
async def test_no_thread_is_no_helper_and_leaves_no_descriptor() -> None:
    before = open_now()
    with pytest.raises(BackendError, match=WHY):
        await start_process(["/bin/cat"], (), 1.0)
    assert open_now() == before


@pytest.mark.usefixtures("threads_left")
async def test_no_thread_for_work_beside_the_loop() -> None:
    with pytest.raises(BackendError, match=WHY):
        await aside(lambda: None, 1.0)


@pytest.mark.parametrize("number", [0, 1])
def test_no_thread_for_libxl(threads_left: list[int], number: int) -> None:
    threads_left[0] = number
    with pytest.raises(BackendError, match=WHY):
        OwnThread()
    for thread in threading.enumerate():
        if thread.name.startswith("libxlpy callbacks"):
            thread.join(20.0)
            assert not thread.is_alive()


@pytest.mark.usefixtures("threads_left")
def test_no_thread_for_the_command_line() -> None:
    with pytest.raises(SystemExit) as caught:
        main(["list"])
    assert caught.value.code == "xlpy: can't start new thread: see ulimit -u"


def test_exit_status_is_known_with_no_descriptor_left() -> None:
    path = ":".join(str(ROOT / folder) for folder in ("", "helper", "protocol"))
    shell = 'ulimit -n 64; exec "$0" -c "$1"'
    done = subprocess.run(
        ["/bin/sh", "-c", shell, sys.executable, FULL],
        env={"PYTHONPATH": path, "PATH": os.defpath},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.stdout, done.stderr) == ("exit status 0 True \\x1b\nbeside\n", "")
