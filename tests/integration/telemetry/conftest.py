"""A host with a guest, and a context on it."""

from tests.integration.parent.conftest import ctx, host, nothing_blocks, pv

__all__ = ["ctx", "host", "nothing_blocks", "pv"]
