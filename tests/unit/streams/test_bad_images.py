"""Every rule of libxc's images: what breaks it is named."""

import struct

import pytest

from libxlpy.streams import (
    Format,
)
from tests.support import stream_samples as samples
from tests.support.stream_samples import (
    END,
    HOLE,
    HVM_CONTEXT,
    HVM_PARAMS,
    HVM_RECORDS,
    HVM_STATIC,
    P2M_FRAMES,
    PV_INFO,
    PV_PAGES,
    PV_RECORDS,
    PV_STATIC,
    STATIC_DATA_END,
    TSC,
    hvm_image,
    page_data,
    pv_image,
    record,
)
from tests.unit.streams.feeding import error_of

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
        "frame 0x200 lies above the last one, 0x5",
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
        "frame 0x200 lies above the last one, 0x5",
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
