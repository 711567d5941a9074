"""What is sound passes, in one event per piece; what ends early does not."""

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
from tests.support import stream_samples as samples
from tests.support.stream_samples import (
    END,
    HOLE,
    HVM_CONTEXT,
    HVM_PAGES,
    HVM_PARAMS,
    HVM_STATE,
    HVM_STATIC,
    P2M_FRAMES,
    PV_INFO,
    PV_PAGES,
    PV_RECORDS,
    PV_STATE,
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
from tests.unit.streams.feeding import error_of, outcome


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
        hvm_image(*HVM_STATIC, *HVM_PAGES, record(1 << 31, b"new"), *HVM_STATE, END),
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


# @@ ends
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
