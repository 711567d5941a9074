"""What a save that claims to be done has written, as far as we see it ourselves.

What the helper says of it is no proof. A file or block device is walked to its END; of
what can't be read again the bytes are counted: by the offset in a file, else by the
kernel, which counts each byte that a process writes. There that can be too few only.
"""

import errno

from libxlpy.aio import aside
from libxlpy.errors import BackendError, ProtocolViolation, StreamError, TimedOut
from libxlpy.jobs.stream_fd import StreamFd
from libxlpy.streams import Format, StreamRuleBroken, Walked
from libxlpy_protocol.xen import PAGE_SIZE


async def check_whole(
    stream: StreamFd, format: Format, seconds: float
) -> Walked | None:
    """See that a stream that was said to be complete is.

    Args:
        stream: Where it was written.
        format: What was written.
        seconds: Its disk may take.

    Returns:
        What is in it; None if it can't be read again.

    Raises:
        ProtocolViolation: It is not.
        StreamError: It can't be read again, or nobody may do it.
        TimedOut: Its disk does not answer.
    """
    try:
        return await aside(lambda: stream.check_whole(format), seconds)
    except StreamRuleBroken as exc:
        raise ProtocolViolation(
            f"it claims that the stream is whole, but {exc}"
        ) from exc
    except TimeoutError as exc:
        raise TimedOut("flush", seconds) from exc
    except OSError as exc:
        raise StreamError(exc.errno or 0, "it can't be read again") from exc
    except BackendError as exc:
        text = f"it can't be read again: {exc}"
        raise StreamError(errno.EAGAIN, text) from exc


def check_image(walked: Walked, kind: str, pages: int) -> None:
    """See that an image is of this guest, as far as its headers say.

    Args:
        walked: What is in it.
        kind: The guest's, ``"pv"``, ``"hvm"`` or ``"pvh"``.
        pages: The guest's.

    Raises:
        ProtocolViolation: It is not.
    """
    wanted = "PV" if kind == "pv" else "HVM"
    if walked.domain_type != wanted:
        found = walked.domain_type
        text = f"it claims to have saved a {wanted} guest, but wrote a {found} one"
        raise ProtocolViolation(text)
    if walked.pages < _fewest(kind, pages):
        text = f"it claims to have saved the guest, but wrote {walked.pages} pages"
        raise ProtocolViolation(f"{text} of about {pages}")


def check_count(written: int, kind: str, pages: int) -> None:
    """See that bytes are enough for an image of this guest.

    Args:
        written: Bytes that it has at most.
        kind: As of :func:`check_image`.
        pages: The guest's.

    Raises:
        ProtocolViolation: They are not.
    """
    least = _fewest(kind, pages) * PAGE_SIZE
    if written < least:
        text = f"it claims to have saved the guest, but wrote {max(written, 0)} bytes"
        raise ProtocolViolation(f"{text} where {least} are the least")


def _fewest(kind: str, pages: int) -> int:
    """Give the fewest pages that an image has.

    How many an HVM or PVH guest must have is not known: those that are populated on
    demand are not in the stream.
    """
    return max(pages // 2, 1) if kind == "pv" else 1
