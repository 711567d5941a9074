"""The C library under sanitizers, a real host, domains that end with the test."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from libxlpy.simxen.client import start_host, stop_host
from tests.integration.simxen.c.driving import Host

HERE = Path(__file__).parent
SOURCES = HERE.parents[3] / "helper" / "src" / "simxen"


def build_driver(target, *options):
    """Compile the library's sources and the driver into one program."""
    compiler = os.environ.get("CC", "gcc")
    sources = [*HERE.glob("*.c"), *SOURCES.glob("lib_*.c"), *SOURCES.glob("common_*.c")]
    warnings = ["-Wall", "-Wextra", "-Werror"]
    common = ["-std=gnu11", "-g", *warnings, "-pthread", f"-I{SOURCES}"]
    subprocess.run([compiler, *common, *options, "-o", target, *sources], check=True)
    return str(target)


@pytest.fixture(scope="session")
def sanitized(tmp_path_factory):
    """The driver with address and undefined-behaviour sanitizers."""
    target = tmp_path_factory.mktemp("driver") / "sanitized"
    sanitizers = "-fsanitize=address,undefined"
    return build_driver(target, "-O1", sanitizers, "-fno-sanitize-recover=all")


@pytest.fixture(scope="session")
def plain(tmp_path_factory):
    """The driver as the library is shipped, prefixed by valgrind where there is one."""
    target = tmp_path_factory.mktemp("driver") / "plain"
    program = build_driver(target, "-O2")
    options = ["-q", "--error-exitcode=99", "--leak-check=full"]
    valgrind = shutil.which("valgrind")
    return [valgrind, *options, program] if valgrind else [program]


@pytest.fixture(scope="module")
def running_host(tmp_path_factory):
    directory = tmp_path_factory.mktemp("simxen") / "host"
    start_host(directory)
    yield Host(directory)
    stop_host(directory)


@pytest.fixture
def host(running_host):
    """The module's host, without domains."""
    yield running_host
    running_host.destroy_all()


@pytest.fixture
def image(tmp_path):
    """An open file for a stream."""
    fd = os.open(tmp_path / "image", os.O_RDWR | os.O_CREAT)
    yield fd
    os.close(fd)
