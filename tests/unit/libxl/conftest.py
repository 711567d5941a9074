"""A loop of ours that is turned by a foreign one."""

from collections.abc import Iterator

import pytest

from libxlpy.libxl.osevent import Hooked
from tests.support.foreign_loop import ForeignLoop


@pytest.fixture
def foreign() -> ForeignLoop:
    return ForeignLoop()


@pytest.fixture
def hooked(foreign: ForeignLoop) -> Iterator[Hooked]:
    made = Hooked(foreign.hooks())
    yield made
    made.close()
    assert not foreign.fds
    assert not foreign.timers
