"""The fake libxenlight, compiled once."""

import subprocess
from pathlib import Path

import pytest

from tests.integration.helper.builder.fake import HERE, Fake
from tests.support.compiling import FLAGS, SOURCES


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The fake libxenlight."""
    target = tmp_path_factory.mktemp("xenlight") / "libfake.so"
    argv = ["cc", *FLAGS, "-fPIC", "-shared", f"-I{SOURCES}", "-o", str(target)]
    subprocess.run([*argv, str(HERE / "fake_xenlight.c")], check=True)
    return target


@pytest.fixture
def fake(tmp_path: Path, library: Path) -> Fake:
    """The fake in a folder of its own."""
    return Fake(tmp_path, library)
