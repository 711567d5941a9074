"""Have libxenlight's save helper stop, or find its stream at its end."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from libxlpy_helper.builder import abort
from libxlpy_helper.builder.abort import BuildAbort

#: Says which signals come.
READER = """
import signal
numbers = {signal.SIGUSR2, signal.SIGTERM}
signal.pthread_sigmask(signal.SIG_BLOCK, numbers)
print("reads", flush=True)
while (number := signal.sigwait(numbers)) != signal.SIGTERM:
    print(number, flush=True)
"""


@pytest.fixture
def reader(monkeypatch: pytest.MonkeyPatch) -> Iterator["subprocess.Popen[str]"]:
    argv = [sys.executable, "-c", READER]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "reads\n"
        monkeypatch.setattr(abort, "restoring", lambda: iter([process.pid]))
        yield process
        process.kill()


@pytest.fixture
def build() -> Iterator[BuildAbort]:
    made = BuildAbort()
    yield made
    os.close(made._dead_fd)


def test_save_helper_is_told_of_an_end(
    reader: "subprocess.Popen[str]", build: BuildAbort
) -> None:
    build.end_streams()
    assert reader.stdout is not None
    assert reader.stdout.readline() == f"{int(signal.SIGUSR2)}\n"
    assert not build.requested
    build.request()
    for _ in range(2):
        build.kick()
    assert reader.wait() == 0


def test_stream_that_has_ended_by_itself_is_no_reason_to_stop(
    monkeypatch: pytest.MonkeyPatch, build: BuildAbort
) -> None:
    monkeypatch.setattr(abort, "restoring", lambda: iter(()))
    build.end_streams()
    assert not build.requested
