"""Every rule of what is around an image: what breaks it is named."""

import struct

import pytest

from libxlpy.streams import (
    Format,
)
from tests.support import stream_samples as samples
from tests.support.stream_samples import (
    END,
    hvm_image,
    libxc_header,
    libxl_stream,
    pv_image,
    record,
    xl_file,
    xl_header,
)
from tests.unit.streams.feeding import error_of

LIBXL_BAD = {
    "image missing": (samples.LIBXL_HEADER + END, "END record at offset 16"),
    "image twice": (
        libxl_stream(hvm_image(), samples.LIBXC_CONTEXT),
        "can't come after LIBXC_CONTEXT",
    ),
    "context before keys": (
        libxl_stream(hvm_image(), samples.EMULATOR_CONTEXT, samples.XENSTORE_DATA),
        "can't come after EMULATOR_CONTEXT",
    ),
    "checkpoint in a plain stream": (
        libxl_stream(hvm_image(), samples.CHECKPOINT_END),
        "can't come",
    ),
    "COLO": (libxl_stream(hvm_image(), record(5, bytes(4))), "COLO"),
    "emulator of a PV domain": (
        libxl_stream(pv_image(), samples.EMULATOR_CONTEXT, END),
        "no PV domain has an emulator",
    ),
    "emulator number": (
        libxl_stream(hvm_image(), record(3, struct.pack("<II", 3, 0))),
        "unknown emulator 3",
    ),
    "emulator index": (
        libxl_stream(hvm_image(), record(3, struct.pack("<II", 2, 1))),
        "index 1, not 0",
    ),
    "emulator short": (libxl_stream(hvm_image(), record(3)), "emulator number"),
    "unknown type": (libxl_stream(hvm_image(), record(6)), "unknown and not optional"),
    "huge": (
        libxl_stream(hvm_image(), struct.pack("<II", 3, 0xFFFFFFF9)),
        "exceeds the limit",
    ),
    "end with a body": (libxl_stream(hvm_image(), record(0, b"x")), "1 bytes long"),
    "magic": (b"\0" + libxl_stream(hvm_image())[1:], "libxl header at offset 0: wrong"),
    "version": (
        samples.LIBXL_HEADER[:11] + b"\3" + samples.LIBXL_HEADER[12:],
        "version 3, not 2",
    ),
    "big endian": (samples.LIBXL_HEADER[:15] + b"\1", "big-endian"),
    "option": (samples.LIBXL_HEADER[:15] + b"\4", "unknown options 0x4"),
}
KEYS_BAD = {
    "no value": (b"key\0", "no value that ends with NUL"),
    "value without end": (b"key\0value", "no value that ends with NUL"),
    "key without end": (b"key", "no value that ends with NUL"),
    "empty key": (b"\0value\0", "no relative xenstore path"),
    "absolute key": (b"/local\0v\0", "no relative xenstore path"),
    "upward key": (b"a/../../b\0v\0", "no relative xenstore path"),
    "odd characters": (b"a b\0v\0", "no relative xenstore path"),
    "long key": (b"a" * 257 + b"\0v\0", "a key is longer than 256 bytes"),
    "long value": (b"a\0" + b"v" * 2049 + b"\0", "a value is longer than 2048 bytes"),
    "many keys": (b"a\0b\0" * (1 << 18) + b"a\0\0", "exceed the limit of 1048576"),
}


@pytest.mark.parametrize("name", LIBXL_BAD)
def test_bad_libxl_streams_are_named(name: str) -> None:
    data, reason = LIBXL_BAD[name]
    assert reason in error_of(data, Format.LIBXL)


@pytest.mark.parametrize("name", KEYS_BAD)
def test_bad_emulator_keys_are_named(name: str) -> None:
    body, reason = KEYS_BAD[name]
    keys = record(2, struct.pack("<II", 2, 0) + body)
    assert reason in error_of(libxl_stream(hvm_image(), keys, END), Format.LIBXL)


LIBXC_HEAD = libxc_header(1)
HEADERS_BAD = {
    "libxc magic": (b"\0" + LIBXC_HEAD[1:], "libxc image header at offset 0: wrong"),
    "libxc version": (libxc_header(1, version=4), "version 4, not 2 or 3"),
    "libxc endian": (LIBXC_HEAD[:17] + b"\1" + LIBXC_HEAD[18:], "big-endian"),
    "libxc reserved": (LIBXC_HEAD[:23] + b"\1" + LIBXC_HEAD[24:], "reserved"),
    "domain type": (libxc_header(3), "unknown type 3"),
    "page shift": (LIBXC_HEAD[:28] + b"\15" + LIBXC_HEAD[29:], "page shift 13, not 12"),
    "domain reserved": (LIBXC_HEAD[:30] + b"\1" + LIBXC_HEAD[31:], "reserved"),
}


@pytest.mark.parametrize("name", HEADERS_BAD)
def test_bad_libxc_headers_are_named(name: str) -> None:
    data, reason = HEADERS_BAD[name]
    assert reason in error_of(data, Format.LIBXC)


XL_BAD = {
    "magic": (b"x" * 48, "not a file made by xl save"),
    "byte order": (xl_header(order=0x04030201), "other byte order"),
    "byte order mark": (xl_header(order=5), "wrong byte order mark"),
    "newer": (xl_header(7), "unknown mandatory flags 0x7"),
    "older": (xl_header(1), "older than Xen 4.6"),
    "no room for a length": (xl_header(3, 3), "can't hold its length"),
    "huge configuration": (
        xl_header(3, 2**32 - 1) + struct.pack("<I", 2**32 - 8),
        "4294967295 bytes of optional data",
    ),
    "configuration too long": (
        xl_header(3, 8) + struct.pack("<I", 5),
        "5 bytes don't fit 8",
    ),
    "no NUL": (xl_file(b"", b"{}"), "does not end with NUL"),
    "inner NUL": (xl_file(b"", b"{\0}\0"), "NUL inside"),
    "text with a NUL": (xl_file(b"", b"a\0b", 2), "NUL inside"),
    "not UTF-8": (xl_file(b"", b"\xff\0"), "not UTF-8"),
    "bytes behind": (samples.PV_FILE + b"x", f"data at offset {len(samples.PV_FILE)}"),
}


@pytest.mark.parametrize("name", XL_BAD)
def test_bad_xl_files_are_named(name: str) -> None:
    data, reason = XL_BAD[name]
    assert reason in error_of(data)
