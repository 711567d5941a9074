"""A real host, its guests, and a context on it, for all rooms that have no other."""

from tests.support.real_host import (  # noqa: F401 - fixtures
    ctx,
    full_pipe,
    guest,
    host,
    hvm,
    nothing_blocks,
    other_host,
    own_host,
    pv,
    second_host,
)
