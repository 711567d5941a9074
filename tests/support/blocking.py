"""What may block an event loop under test: small local files that nobody waits for.

And how long it may be kept busy: see `tests.support.lag`.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from blockbuster import BlockBuster

from tests.support.lag import is_too_long, lag_watched

#: File -> functions.
ALLOWED = {
    "libxlpy/journal/folder.py": {
        *("make", "check", "domids", "read", "lock", "sweep"),
        *("write", "rewrite", "begin", "forget", "release", "lost"),
    },
    "libxlpy/journal/identity.py": {"read_proc", "_namespace", "_seen_as"},
    "libxlpy/journal/life.py": {
        *("__init__", "close", "lives", "is_own", "tell", "told"),
    },
    "libxlpy/journal/entry.py": {"of"},
    "libxlpy/process/counts.py": {"io_of"},
    # Of descriptors that are ready, and whose flags are not ours to change.
    "libxlpy/migration/channel.py": {"say", "_piece"},
    # A loop that looked between the two domains would find none.
    "tests/support/successor.py": {"__init__"},
}


@contextmanager
def nothing_may_block(monkeypatch: pytest.MonkeyPatch) -> Iterator[BlockBuster]:
    """Fail a test whose loop waits in a call, or works for long in one turn."""
    guard = BlockBuster()
    for function in guard.functions.values():
        for file, names in ALLOWED.items():
            function.can_block_in(file, names)
    # Names in local folders that nobody but root, or the user, can put elsewhere.
    guard.functions["os.unlink"].can_block_in(
        "libxlpy/domain/device_model.py", "remove_state"
    )
    guard.functions["os.unlink"].can_block_in(
        "libxlpy/simxen/xenstored/server.py", "stop"
    )
    guard.functions["os.stat"].can_block_in(
        "libxlpy/domain/device_model.py", {"_remove_made", "_is_state"}
    )
    with lag_watched(monkeypatch) as lag:
        guard.activate()
        try:
            yield guard
        finally:
            guard.deactivate()
    text = f"a turn of the loop took {lag.worst:.3f} s of processor"
    assert not is_too_long(lag.worst), text
