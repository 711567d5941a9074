"""Files that want more of a reader than they give: whole and sound, each in its way.

Each is made from how many bytes it is to have, about; the least that its kind takes is
in it for each of its pieces.
"""

import struct
from collections.abc import Callable

from tests.support import stream_samples as samples
from tests.support.stream_samples import HOLE, record

#: Configuration that real ones do not reach; JSON's brackets around what is in it.
CONFIG_MAX = 1024 * 1024
_WRAPPED = b'{"c_info": {"name": "sample"}, "more": [%s]}\0'
_FRAMES = 1 << 28


def _hvm(*pages: bytes, records: bytes = b"", after: bytes = b"") -> bytes:
    image = samples.hvm_image(
        *samples.HVM_STATIC, samples.page_data(0), *pages, records,
        *samples.HVM_STATE, samples.END,
    )  # fmt: skip
    return samples.xl_file(samples.libxl_stream(image, after, samples.END))


def libxc_types(size: int) -> bytes:
    """Each record is of another type that is optional and not known."""
    count = size // 8
    return _hvm(records=b"".join(record(0x80000000 + n) for n in range(count)))


def libxl_types(size: int) -> bytes:
    """The same in libxl's part of the stream."""
    count = size // 8
    return _hvm(after=b"".join(record(0x80000000 + n) for n in range(count)))


def scattered_frames(size: int) -> bytes:
    """Each frame is as far from the others as can be; in one record."""
    count = size // 8
    step = _FRAMES // count
    return _hvm(samples.page_data(*(HOLE | n * step for n in range(count)), contents=0))


def scattered_pages(size: int) -> bytes:
    """The same, in records of one frame each, whose page is broken."""
    count = size // 24
    step = _FRAMES // count
    return _hvm(
        *(samples.page_data(13 << 60 | n * step, contents=0) for n in range(count))
    )


def vcpus(size: int) -> bytes:
    """Each record is of another vcpu."""
    count = min(size // 16, 8192)
    states = [record(0x0C, struct.pack("<II", n, 0)) for n in range(count)]
    image = samples.pv_image(*samples.PV_RECORDS[:-1], *states[1:], samples.END)
    return samples.xl_file(samples.libxl_stream(image))


def params(size: int) -> bytes:
    """HVM parameters without end."""
    count = size // 16
    body = struct.pack("<II", count, 0) + bytes(16 * count)
    image = samples.hvm_image(
        *samples.HVM_STATIC, samples.page_data(0), samples.TSC, samples.HVM_CONTEXT,
        record(0x0A, body), samples.END,
    )  # fmt: skip
    return samples.xl_file(samples.libxl_stream(image))


def keys(size: int) -> bytes:
    """The device model has a key for each four bytes."""
    body = struct.pack("<II", 2, 0) + b"a\0b\0" * (min(size, 1 << 20) // 4)
    return _hvm(after=record(2, body))


def _config(values: bytes) -> bytes:
    return samples.xl_file(samples.libxl_stream(samples.hvm_image()), _WRAPPED % values)


def config_of_values(size: int) -> bytes:
    """A configuration of objects, each in four bytes."""
    return _config(b",".join([b"{}"] * (min(size, 49_000 * 3) // 3)))


def config_of_text(size: int) -> bytes:
    """A configuration whose characters are the widest."""
    return _config(
        b'"' + "\N{GRINNING FACE}".encode() * (min(size, 1 << 19) // 4) + b'"'
    )


def config_of_lines(size: int) -> bytes:
    """A configuration in xl's text format, of short lines."""
    text = b"a\n" * (min(size, CONFIG_MAX) // 2)
    return samples.xl_file(samples.libxl_stream(samples.hvm_image()), text, 2)


HOSTILE: dict[str, Callable[[int], bytes]] = {
    make.__name__: make
    for make in (
        libxc_types,
        libxl_types,
        scattered_frames,
        scattered_pages,
        vcpus,
        params,
        keys,
        config_of_values,
        config_of_text,
        config_of_lines,
    )
}
