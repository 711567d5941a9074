"""The domain that the faults happen to, and the promise, asked of its host."""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from libxlpy.simxen.client import request

#: Seconds for what must happen soon; an upper bound, not a measure.
SOON = 15.0
LOOK_EVERY = 0.02


@dataclass(frozen=True)
class Victim:
    """A domain on an embedded host."""

    directory: Path
    domid: int

    def info(self) -> dict[str, Any]:
        """Ask the host for its facts."""
        return request(self.directory, "info", domid=self.domid)

    def trouble(self) -> str:
        """Give what is not as it must be after a failed job, "" if all is well."""
        facts = self.info()
        wrong = [
            name
            for name, expected in (
                ("running", True),
                ("paused", False),
                ("shutdown", False),
                ("logdirty", False),
                ("qemu_logdirty", False),
                ("qmp_running", True),
            )
            if name in facts and facts[name] is not None and facts[name] != expected
        ]
        return ", ".join(f"{name}={facts[name]}" for name in wrong)

    def assert_unharmed(self, context: str) -> None:
        """Check that the guest runs, really, and that nothing logs dirty pages."""
        until = time.monotonic() + SOON
        while (trouble := self.trouble()) and time.monotonic() < until:
            time.sleep(LOOK_EVERY)
        assert not trouble, f"{context}: {trouble}"
        before = counter = self.info()["counter"]
        while counter == before and time.monotonic() < until:
            time.sleep(LOOK_EVERY)
            counter = self.info()["counter"]
        assert counter > before, f"{context}: the guest says it runs but does not"
