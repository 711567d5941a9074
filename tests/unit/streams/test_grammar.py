"""Every rule of the three layers: what is sound passes, what is not is named."""

import struct

import pytest

from libxlpy.streams import (
    Format,
    Layer,
    LibxcHeaderRead,
    LibxlHeaderRead,
    RecordRead,
    StreamParser,
    StreamRuleBroken,
    XlHeaderRead,
)
from tests.unit.streams import samples
from tests.unit.streams.feeding import error_of, outcome
from tests.unit.streams.samples import (
    END,
    HOLE,
    HVM_CONTEXT,
    HVM_PAGES,
    HVM_PARAMS,
    HVM_RECORDS,
    HVM_STATE,
    HVM_STATIC,
    P2M_FRAMES,
    PV_INFO,
    PV_PAGES,
    PV_RECORDS,
    PV_STATE,
    PV_STATIC,
    STATIC_DATA_END,
    TSC,
    hvm_image,
    libxc_header,
    libxl_stream,
    page_data,
    pv_image,
    record,
    xl_file,
    xl_header,
)


def test_a_pv_file_gives_one_event_per_piece() -> None:
    events, error = outcome([samples.PV_FILE])
    assert error is None
    header, libxl, context, libxc, *records = events
    assert header == XlHeaderRead(0, 83, 3, 0, samples.CONFIG, config_is_json=True)
    assert libxl == LibxlHeaderRead(83, 16, 2, legacy=False)
    assert context == RecordRead(Layer.LIBXL, 99, 1, "LIBXC_CONTEXT", 0)
    assert libxc == LibxcHeaderRead(107, 40, 3, "PV", (4, 20))
    names = [event.name for event in records if isinstance(event, RecordRead)]
    assert names[:6] == [
        "X86_PV_INFO",
        "X86_CPUID_POLICY",
        "X86_MSR_POLICY",
        "STATIC_DATA_END",
        "X86_PV_P2M_FRAMES",
        "PAGE_DATA",
    ]
    assert names[-2:] == ["END", "END"]


def test_pages_with_and_without_contents_are_counted() -> None:
    events, _ = outcome([pv_image()], Format.LIBXC)
    pages = [event for event in events if getattr(event, "name", "") == "PAGE_DATA"]
    assert [(event.pages, event.pfns) for event in pages] == [(3, 3), (2, 3)]


def test_frames_of_a_hole_are_counted_without_contents() -> None:
    hole = page_data(*(HOLE | frame for frame in range(1000, 2024)), contents=0)
    records = [*HVM_STATIC, *HVM_PAGES, hole, *HVM_STATE, END]
    events, error = outcome([hvm_image(*records)], Format.LIBXC)
    assert error is None
    pages = [event for event in events if getattr(event, "name", "") == "PAGE_DATA"]
    assert [(event.pages, event.pfns) for event in pages][-1] == (0, 1024)


def test_offsets_and_lengths_cover_the_stream() -> None:
    events, _ = outcome([samples.HVM_FILE])
    end = 0
    for event in events:
        assert event.offset == end
        body = -(-event.length // 8) * 8
        end += 8 + body if isinstance(event, RecordRead) else event.length
    assert end == len(samples.HVM_FILE)


SOUND = {
    "hvm with emulator": (samples.HVM_FILE, Format.XL),
    "pv": (samples.PV_FILE, Format.XL),
    "no configuration": (xl_header() + libxl_stream(pv_image()), Format.XL),
    "text configuration": (
        xl_file(libxl_stream(pv_image()), b'name = "x"', 2),
        Format.XL,
    ),
    "optional data with a tail": (
        xl_header(3, 4 + 3 + 9)
        + struct.pack("<I", 3)
        + b"{}\0"
        + b"from 2040"
        + libxl_stream(pv_image()),
        Format.XL,
    ),
    "remus": (samples.REMUS_STREAM, Format.LIBXL_CHECKPOINTED),
    "pvh has no emulator": (libxl_stream(hvm_image()), Format.LIBXL),
    "params before context": (
        hvm_image(*HVM_STATIC, *HVM_PAGES, TSC, HVM_PARAMS, HVM_CONTEXT, END),
        Format.LIBXC,
    ),
    "verify pass": (
        hvm_image(*HVM_STATIC, *HVM_PAGES, samples.VERIFY, *HVM_PAGES, *HVM_STATE, END),
        Format.LIBXC,
    ),
    "optional libxc record": (
        hvm_image(*HVM_STATIC, record(1 << 31, b"new"), *HVM_STATE, END),
        Format.LIBXC,
    ),
    "optional libxl record": (
        libxl_stream(hvm_image(), record(1 << 31, b"new"), END),
        Format.LIBXL,
    ),
    "empty vcpu records of Xen 4.6": (
        pv_image(
            *PV_RECORDS[:-1],
            *[record(kind, struct.pack("<II", 1, 0)) for kind in (4, 5, 6, 0x0C)],
            END,
        ),
        Format.LIBXC,
    ),
    "version 2 has no static part": (
        libxc_header(1, version=2)
        + b"".join([PV_INFO, P2M_FRAMES, *PV_PAGES])
        + b"".join([*PV_STATE, END]),
        Format.LIBXC,
    ),
    "converted streams come in any order": (
        libxc_header(2, 2, (0, 1)) + b"".join([TSC, *HVM_PAGES, *HVM_STATE[1:], END]),
        Format.LIBXC,
    ),
}


@pytest.mark.parametrize("name", SOUND)
def test_sound_streams_pass(name: str) -> None:
    data, format = SOUND[name]
    assert outcome([data], format)[1] is None


PV_BAD = {
    "PV_INFO twice": ([PV_INFO, PV_INFO], "X86_PV_INFO", "comes twice"),
    "STATIC_DATA_END first": (
        [STATIC_DATA_END],
        "STATIC_DATA_END",
        "before X86_PV_INFO",
    ),
    "no STATIC_DATA_END": ([PV_INFO, P2M_FRAMES], "X86_PV_P2M_FRAMES", "before STATIC"),
    "static data late": ([*PV_STATIC, PV_INFO], "X86_PV_INFO", "twice"),
    "policy late": (
        [PV_INFO, STATIC_DATA_END, P2M_FRAMES, samples.CPUID],
        "X86_CPUID_POLICY",
        "too late",
    ),
    "pages before P2M": (
        [*PV_STATIC, page_data(1)],
        "PAGE_DATA",
        "before X86_PV_P2M_FRAMES",
    ),
    "pages after state": (
        [*PV_STATIC, P2M_FRAMES, TSC, page_data(1)],
        "PAGE_DATA",
        "too late",
    ),
    "frame too high": (
        [*PV_STATIC, P2M_FRAMES, page_data(512)],
        "PAGE_DATA",
        "frame 0x200 lies above the last one, 0x1ff",
    ),
    "illegal page type": (
        [*PV_STATIC, P2M_FRAMES, page_data(5 << 60 | 1)],
        "PAGE_DATA",
        "frame 0x1 has the illegal type 5",
    ),
    "reserved pfn bits": (
        [*PV_STATIC, P2M_FRAMES, page_data(1 << 52)],
        "PAGE_DATA",
        "reserved bits",
    ),
    "reserved pfn bits of a hole": (
        [*PV_STATIC, P2M_FRAMES, page_data(HOLE | 1 << 52)],
        "PAGE_DATA",
        "reserved bits",
    ),
    "hole too high": (
        [*PV_STATIC, P2M_FRAMES, page_data(HOLE | 512)],
        "PAGE_DATA",
        "frame 0x200 lies above the last one, 0x1ff",
    ),
    "no state": (
        [*PV_STATIC, P2M_FRAMES, *PV_PAGES, END],
        "END",
        "before SHARED_INFO",
    ),
    "HVM record": ([*PV_STATIC, HVM_CONTEXT], "HVM_CONTEXT", "no PV domain has it"),
    "vcpu twice": ([*PV_RECORDS[:-1], samples.VCPU_XSAVE], "VCPU_XSAVE", "twice"),
    "TSC twice": ([*PV_RECORDS[:-1], TSC], "X86_TSC_INFO", "twice"),
    "checkpoint": ([*PV_RECORDS[:-1], samples.CHECKPOINT], "CHECKPOINT", "not a check"),
    "width": ([record(2, bytes([4, 4]) + bytes(6))], "X86_PV_INFO", "width 4 and 4"),
    "PV_INFO reserved": (
        [record(2, bytes([8, 4, 1]) + bytes(5))],
        "PV_INFO",
        "reserved",
    ),
    "PV_INFO length": (
        [record(2, bytes([8, 4]))],
        "X86_PV_INFO",
        "2 bytes long, not 8",
    ),
    "P2M short": (
        [*PV_STATIC, record(3, bytes(4))],
        "P2M_FRAMES",
        "can't hold a range",
    ),
    "P2M range": (
        [*PV_STATIC, record(3, struct.pack("<IIQ", 9, 1, 0))],
        "P2M_FRAMES",
        "upside down",
    ),
    "P2M length": (
        [*PV_STATIC, record(3, struct.pack("<IIQ", 0, 512, 0))],
        "P2M_FRAMES",
        "16 bytes long, not 24",
    ),
    "shared info length": (
        [*PV_STATIC, P2M_FRAMES, record(7, bytes(8))],
        "SHARED_INFO",
        "8 bytes long, not 4096",
    ),
}
VCPU_BAD = {
    "basic size": (4, struct.pack("<II", 0, 0) + bytes(8), "8 bytes long, not 5168"),
    "extended size": (5, struct.pack("<II", 0, 0) + bytes(136), "exceeds 128"),
    "xsave size": (6, struct.pack("<II", 0, 0) + bytes(8), "shorter than its head"),
    "msrs size": (0x0C, struct.pack("<II", 0, 0) + bytes(24), "no whole number"),
    "no vcpu number": (4, bytes(4), "can't hold a vcpu number"),
    "reserved": (4, struct.pack("<II", 0, 1) + bytes(5168), "reserved"),
    "vcpu number": (4, struct.pack("<II", 8192, 0), "no domain has a vcpu 8192"),
}
HVM_BAD = {
    "no pages named": (
        [*HVM_STATIC, record(1, bytes(8))],
        "PAGE_DATA",
        "names no page",
    ),
    "count short": ([*HVM_STATIC, record(1, bytes(4))], "PAGE_DATA", "a page count"),
    "count reserved": (
        [*HVM_STATIC, record(1, struct.pack("<IIQ", 1, 1, 0))],
        "PAGE_DATA",
        "reserved",
    ),
    "count beyond body": (
        [*HVM_STATIC, record(1, struct.pack("<IIQ", 2**32 - 1, 0, 0))],
        "PAGE_DATA",
        "can't hold 4294967295 frames",
    ),
    "contents missing": (
        [*HVM_STATIC, page_data(1, 2, contents=1)],
        "PAGE_DATA",
        "is 4120 bytes long, not 8216",
    ),
    "contents too many": (
        [*HVM_STATIC, page_data(0xF << 60, contents=1)],
        "PAGE_DATA",
        "is 4112 bytes long, not 16",
    ),
    "PV record": ([*HVM_STATIC, samples.SHARED_INFO], "SHARED_INFO", "no HVM domain"),
    "no context": ([*HVM_STATIC, TSC, HVM_PARAMS, END], "END", "before HVM_CONTEXT"),
    "no params": ([*HVM_STATIC, TSC, HVM_CONTEXT, END], "END", "before HVM_PARAMS"),
    "empty context": ([*HVM_STATIC, record(9)], "HVM_CONTEXT", "its body is empty"),
    "params length": (
        [*HVM_STATIC, record(0x0A, struct.pack("<II", 1, 0))],
        "HVM_PARAMS",
        "8 bytes long, not 24",
    ),
    "params short": ([*HVM_STATIC, record(0x0A)], "HVM_PARAMS", "can't hold a count"),
    "tsc length": ([*HVM_STATIC, record(8, bytes(16))], "TSC_INFO", "16 bytes long"),
    "tsc reserved": ([*HVM_STATIC, record(8, b"\1" * 24)], "TSC_INFO", "reserved"),
    "cpuid length": ([record(0x11, bytes(25))], "CPUID_POLICY", "no whole number"),
    "msr length": ([record(0x12, bytes(8))], "MSR_POLICY", "no whole number"),
    "cpuid empty": ([record(0x11)], "CPUID_POLICY", "its body is empty"),
    "toolstack": ([record(0x0B)], "TOOLSTACK", "no longer part"),
    "colo": ([record(0x0F)], "CHECKPOINT_DIRTY_PFN_LIST", "COLO"),
    "unknown": ([record(0x13)], "type 0x13", "unknown and not optional"),
    "end with body": ([*HVM_RECORDS[:-1], record(0, bytes(8))], "END", "8 bytes long"),
    "huge": ([struct.pack("<II", 1, 2**32 - 1)], "PAGE_DATA", "exceeds the limit"),
}


@pytest.mark.parametrize("name", PV_BAD)
def test_bad_pv_images_are_named(name: str) -> None:
    records, piece, reason = PV_BAD[name]
    error = error_of(pv_image(*records), Format.LIBXC)
    offset = 40 + sum(map(len, records[:-1]))
    assert f"{piece} record at offset {offset}: " in error
    assert reason in error


@pytest.mark.parametrize("name", VCPU_BAD)
def test_bad_vcpu_records_are_named(name: str) -> None:
    kind, body, reason = VCPU_BAD[name]
    assert reason in error_of(
        pv_image(*PV_STATIC, P2M_FRAMES, record(kind, body)), Format.LIBXC
    )


@pytest.mark.parametrize("name", HVM_BAD)
def test_bad_hvm_images_are_named(name: str) -> None:
    records, piece, reason = HVM_BAD[name]
    error = error_of(hvm_image(*records), Format.LIBXC)
    assert piece in error
    assert reason in error


def test_padding_must_be_zero() -> None:
    context = record(9, b"context")
    bad = hvm_image(*HVM_STATIC, context[:-1] + b"\1")
    assert error_of(bad, Format.LIBXC).endswith("its padding is not zero")


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
    "odd characters": (b"a b\0v\0", "holds characters"),
    "long key": (b"a" * 3073 + b"\0v\0", "longer than 3072"),
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


@pytest.mark.parametrize("file", [samples.PV_FILE, samples.HVM_FILE])
def test_no_beginning_of_a_file_is_a_file(file: bytes) -> None:
    parser = StreamParser(Format.XL)
    for end in range(len(file)):
        assert not parser.finished
        if end % 97 == 0 or len(file) - end < 32:
            error = error_of(file[:end])
            assert "the stream ends" in error
        parser.feed(file[end : end + 1])
    parser.close()


def test_the_first_error_stays() -> None:
    parser = StreamParser(Format.XL)
    with pytest.raises(StreamRuleBroken) as first:
        parser.feed(b"y" * 48)
    with pytest.raises(StreamRuleBroken) as second:
        parser.feed(samples.PV_FILE)
    with pytest.raises(StreamRuleBroken) as third:
        parser.close()
    assert first.value is second.value is third.value is parser.error
    assert first.value.offset == 0
