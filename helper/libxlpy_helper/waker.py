"""What makes the control thread look."""

import contextlib
import os


class Waker:
    """Makes the control thread's poll return; any thread may use it."""

    def __init__(self) -> None:
        self.fd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)

    def wake(self) -> None:
        """Make ``fd`` readable."""
        with contextlib.suppress(BlockingIOError):  # full: it is readable already
            os.eventfd_write(self.fd, 1)

    def clear(self) -> None:
        """Make it unreadable again."""
        with contextlib.suppress(BlockingIOError):
            os.eventfd_read(self.fd)
