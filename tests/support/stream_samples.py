"""Small sound streams, built field by field as the specifications draw them."""

import struct

PAGE = b"\xa5" * 4096
#: Type of an entry without a page.
HOLE = 0xF << 60
CONFIG = b'{"c_info": {"name": "sample"}}'


def record(kind: int, body: bytes = b"") -> bytes:
    return struct.pack("<II", kind, len(body)) + body + bytes(-len(body) % 8)


def page_data(*entries: int, contents: int | None = None) -> bytes:
    count = len(entries) if contents is None else contents
    numbers = struct.pack(f"<II{len(entries)}Q", len(entries), 0, *entries)
    return record(0x01, numbers + PAGE * count)


def libxc_header(kind: int, version: int = 3, xen: tuple[int, int] = (4, 20)) -> bytes:
    head = struct.pack(">QIIHHI", (1 << 64) - 1, 0x58454E46, version, 0, 0, 0)
    return head + struct.pack("<IHHII", kind, 12, 0, *xen)


PV_INFO = record(0x02, bytes([8, 4, 0, 0, 0, 0, 0, 0]))
CPUID = record(0x11, bytes(24 * 3))
MSR = record(0x12, bytes(16 * 2))
STATIC_DATA_END = record(0x10)
P2M_FRAMES = record(0x03, struct.pack("<IIQ", 0, 5, 3))
TSC = record(0x08, struct.pack("<IIQII", 1, 2, 3, 4, 0))
SHARED_INFO = record(0x07, bytes(4096))
VCPU_BASIC = record(0x04, struct.pack("<II", 0, 0) + bytes(5168))
VCPU_EXTENDED = record(0x05, struct.pack("<II", 0, 0) + bytes(128))
VCPU_XSAVE = record(0x06, struct.pack("<II", 0, 0) + bytes(20))
VCPU_MSRS = record(0x0C, struct.pack("<II", 0, 0) + bytes(32))
HVM_CONTEXT = record(0x09, b"context")
HVM_PARAMS = record(0x0A, struct.pack("<II4Q", 2, 0, 1, 2, 3, 4))
VERIFY = record(0x0D)
CHECKPOINT = record(0x0E)
END = record(0x00)

PV_STATE = [TSC, SHARED_INFO, VCPU_BASIC, VCPU_EXTENDED, VCPU_XSAVE, VCPU_MSRS]
HVM_STATE = [TSC, HVM_CONTEXT, HVM_PARAMS]
PV_PAGES = [page_data(0, 1, 2), page_data(3, 0xF << 60 | 4, 9 << 60 | 5, contents=2)]
HVM_PAGES = [page_data(*range(5)), page_data(1, 2)]
PV_STATIC = [PV_INFO, CPUID, MSR, STATIC_DATA_END]
HVM_STATIC = [CPUID, MSR, STATIC_DATA_END]

PV_RECORDS = [*PV_STATIC, P2M_FRAMES, *PV_PAGES, *PV_STATE, END]
HVM_RECORDS = [*HVM_STATIC, *HVM_PAGES, *HVM_STATE, END]

LIBXL_HEADER = struct.pack(">QII", 0x4C6962786C466D74, 2, 0)
LIBXC_CONTEXT = record(1)
XENSTORE_DATA = record(2, struct.pack("<II", 2, 0) + b"physmap/f0/size\x004096\0a\0\0")
EMULATOR_CONTEXT = record(3, struct.pack("<II", 2, 0) + b"qemu state" * 30)
CHECKPOINT_END = record(4)


def pv_image(*records: bytes) -> bytes:
    return libxc_header(1) + b"".join(records or PV_RECORDS)


def hvm_image(*records: bytes) -> bytes:
    return libxc_header(2) + b"".join(records or HVM_RECORDS)


def libxl_stream(image: bytes, *after: bytes) -> bytes:
    return LIBXL_HEADER + LIBXC_CONTEXT + image + b"".join(after or [END])


def xl_file(stream: bytes, config: bytes = CONFIG + b"\0", flags: int = 3) -> bytes:
    data = struct.pack("<I", len(config)) + config
    return xl_header(flags, len(data)) + data + stream


def xl_header(flags: int = 3, length: int = 0, order: int = 0x01020304) -> bytes:
    magic = b"Xen saved domain, xl format\n \0 \r"
    return magic + struct.pack("<IIII", order, flags, 0, length)


PV_FILE = xl_file(libxl_stream(pv_image()))
HVM_FILE = xl_file(libxl_stream(hvm_image(), XENSTORE_DATA, EMULATOR_CONTEXT, END))
REMUS_STREAM = libxl_stream(
    hvm_image(*HVM_STATIC, *HVM_PAGES, *HVM_STATE, CHECKPOINT),
    *[XENSTORE_DATA, EMULATOR_CONTEXT, CHECKPOINT_END],
    *[*HVM_PAGES, *HVM_STATE, CHECKPOINT, CHECKPOINT_END],
    *[*HVM_PAGES, *HVM_STATE, END, END],
)
