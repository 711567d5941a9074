"""The drop-in under the fake libxenguest, with the same fixtures as our own helper."""

import os
from collections.abc import Iterator

import pytest

from tests.integration.helper.conftest import (  # noqa: F401 - fixtures
    fake_library,
    host,
    stream_fd,
)


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    ends = os.pipe()
    yield ends
    for fd in ends:
        try:
            os.close(fd)
        except OSError:
            pass
