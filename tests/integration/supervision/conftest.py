"""A host, and a supervisor's end of the notify socket."""

from tests.integration.parent.conftest import ctx, host, nothing_blocks, pv

__all__ = ["ctx", "host", "nothing_blocks", "pv"]
