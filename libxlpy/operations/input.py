"""The stream that a restore reads: known to be whole before a domain is made of it.

libxl takes the end of a file for END. So a file or device is looked through first; of
what can't be read twice the helper sees to it that END was read before the guest runs.
"""

import errno

from libxlpy.aio import aside
from libxlpy.errors import BackendError, StreamError, TimedOut
from libxlpy.jobs.stream_fd import StreamFd
from libxlpy.streams import Format, StreamCut, StreamRuleBroken


async def check_input(stream: StreamFd, format: Format, seconds: float) -> None:
    """See that what is to be restored is one whole stream, if that can be seen.

    Args:
        stream: Where it starts.
        format: What it is.
        seconds: Its disk may take.

    Raises:
        StreamError: It is not, or can't be read, or nobody may do it.
        TimedOut: Its disk does not answer.
    """
    try:
        await aside(lambda: _look_through(stream, format), seconds)
    except TimeoutError as exc:
        raise TimedOut("check", seconds) from exc
    except BackendError as exc:
        text = f"{stream.path()} can't be looked through: {exc}"
        raise StreamError(errno.EAGAIN, text) from exc


def _look_through(stream: StreamFd, format: Format) -> None:
    try:
        stream.check_input(format)
    except StreamRuleBroken as exc:
        number = errno.ENODATA if isinstance(exc, StreamCut) else errno.EPROTO
        raise StreamError(number, f"{stream.path()}: {exc}") from exc
    except OSError as exc:
        raise StreamError(exc.errno or 0, f"{stream.path()} can't be read") from exc
