"""Tell which part of a build is under way: libxenlight itself says nothing of it.

While its save helper reads the guest's memory, the stream may be as slow as it likes;
before and after it is libxenlight that works, whose time the parent bounds.
"""

import threading
from typing import Final

from libxlpy_helper.builder.abort import restoring
from libxlpy_helper.outbox import Outbox
from libxlpy_protocol.messages import Phase

MEMORY: Final = "memory"
DEVICES: Final = "devices"


class BuildStages:
    """The stages of one build; a context manager while it is under way."""

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox
        self._lock = threading.Lock()
        self._builds = False
        self._reads = False

    def __enter__(self) -> None:
        """Let :meth:`look` tell."""
        self._builds = True

    def __exit__(self, *_: object) -> None:
        """Have it tell no more: what comes next is for others to tell."""
        with self._lock:
            self._builds = False

    def look(self) -> None:
        """Tell if the memory begins to be read, or no longer is; any thread may."""
        with self._lock:
            reads = self._builds and any(restoring())
            if self._builds and reads is not self._reads:
                self._reads = reads
                self._outbox.put(Phase(MEMORY if reads else DEVICES))
