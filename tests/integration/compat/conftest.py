"""The drop-in under the fake libxenguest, with the same fixtures as our own helper."""

from tests.integration.helper.conftest import (  # noqa: F401 - fixtures
    fake_library,
    host,
    stream_fd,
)
