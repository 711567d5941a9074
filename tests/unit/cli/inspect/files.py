"""Save files in memory, for whatever wants a descriptor."""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from libxlpy.streams.summary import FileSummary, summarize
from libxlpy_protocol.stream.formats import DATA_PAGE_TYPES, PageType
from tests.support import stream_samples as samples


@contextmanager
def opened(data: bytes) -> Iterator[int]:
    fd = os.memfd_create("file")
    try:
        os.write(fd, data)
        os.lseek(fd, 0, os.SEEK_SET)
        yield fd
    finally:
        os.close(fd)


@contextmanager
def piped(data: bytes) -> Iterator[int]:
    """The same through a pipe; it must fit one."""
    reading, writing = os.pipe()
    try:
        os.write(writing, data)
        os.close(writing)
        yield reading
    finally:
        os.close(reading)


def summary_of(data: bytes) -> FileSummary:
    with opened(data) as fd:
        return summarize(fd)


def entry(pfn: int, kind: PageType = PageType.NOTAB) -> int:
    return kind << 60 | pfn


def pages(*entries: int) -> bytes:
    """A PAGE_DATA record with the contents that its entries must have."""
    contents = sum(each >> 60 in DATA_PAGE_TYPES for each in entries)
    return samples.page_data(*entries, contents=contents)


def hvm_file(records: Iterable[bytes], config: bytes = samples.CONFIG + b"\0") -> bytes:
    """A whole file of an HVM domain whose memory is in ``records``."""
    image = samples.hvm_image(
        *samples.HVM_STATIC, *records, *samples.HVM_STATE, samples.END
    )
    after = (samples.XENSTORE_DATA, samples.EMULATOR_CONTEXT, samples.END)
    return samples.xl_file(samples.libxl_stream(image, *after), config)
