"""A stream that takes 8 MiB in 0.2 s: a busy guest writes all of them meanwhile."""

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

CHUNK = 1 << 18
#: Seconds for one: 40 MiB a second.
PACE = 0.006


@contextmanager
def read_slowly(reading: int, writing: int) -> Iterator[None]:
    """Read from one end meanwhile; both are closed then."""
    reader = threading.Thread(target=_read, args=[reading])
    reader.start()
    try:
        yield
    finally:
        os.close(writing)
        reader.join()
        os.close(reading)


def _read(fd: int) -> None:
    """Read at that pace, until the end."""
    while os.read(fd, CHUNK):
        time.sleep(PACE)
