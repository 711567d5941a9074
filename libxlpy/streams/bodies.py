"""Bodies of libxc records: each function reads one body of ``length`` bytes, exactly.

Source: Xen, docs/specs/libxc-migration-stream.pandoc, revision 3; what real savers
write and real restorers accept where the two differ.
"""

import struct
from collections.abc import Generator

from libxlpy.streams.frames import NamedFrames
from libxlpy.streams.image import Image
from libxlpy.streams.pull import Need, Reading, blocks, skip, take, unpack
from libxlpy_protocol.stream.formats import (
    DATA_PAGE_TYPES,
    PAGE_TYPE_NAMES,
    PAGE_TYPE_SHIFT,
    PageType,
)
from libxlpy_protocol.stream.formats import LibxcRecord as Record
from libxlpy_protocol.xen import PAGE_SIZE

#: Frames looked at in one piece, 4 KiB of numbers.
PFN_BLOCK = 512
#: Low 52 bits of an entry are the frame, the 8 above are reserved.
PFN_MASK = (1 << 52) - 1
RESERVED_MASK = 0xFF << 52
NO_PAGE = PageType.XTAB << PAGE_TYPE_SHIFT

COUNT = struct.Struct("<II")
PV_INFO = struct.Struct("<BB6s")
TSC_INFO = struct.Struct("<IIQII")
#: Guest width in bytes -> levels of its page tables.
PV_LEVELS = {4: 3, 8: 4}
#: Guest width -> bytes of its vcpu_guest_context.
VCPU_CONTEXT_SIZE = {4: 2800, 8: 5168}
#: Bytes; xen_domctl_ext_vcpucontext is the largest that was ever written.
MAX_VCPU_EXTENDED = 128
MIN_VCPU_XSAVE = 16
#: More than any Xen gives a domain; bounds what is remembered of them.
MAX_VCPUS = 8192
SHARED_INFO_SIZE = 4096
CPUID_LEAF_SIZE = 24
MSR_ENTRY_SIZE = 16
HVM_PARAM_SIZE = 16


def expect_length(image: Image, length: int, expected: int) -> None:
    """Fail unless the body is ``expected`` bytes long."""
    if length != expected:
        image.cursor.fail(f"its body is {length} bytes long, not {expected}")


def empty(image: Image, length: int) -> Reading:
    """STATIC_DATA_END."""
    expect_length(image, length, 0)
    yield from skip(0)


def verify(image: Image, length: int) -> Reading:
    """VERIFY: from here on memory comes again, to be compared."""
    yield from empty(image, length)
    image.verifying = True


def whole(image: Image, length: int) -> Reading:
    """END and CHECKPOINT: a guest could run from what was read."""
    yield from empty(image, length)
    if image.pv and not image.registers:
        image.cursor.fail("it comes before the registers of vcpu 0")
    _memory(image)


def _memory(image: Image) -> None:
    """See that a PV image names all its frames, and that any image has a page."""
    missing = None if image.frames is None else image.frames.first_missing()
    if missing is not None and not image.legacy:
        image.cursor.fail(
            f"memory is not whole: frame {missing:#x} of 0x0 to {image.max_pfn:#x} "
            "was never named"
        )
    if not image.contents:
        image.cursor.fail("memory is missing: no page came before it")


def opaque(image: Image, length: int) -> Reading:
    """HVM_CONTEXT: what is in it is between two Xens."""
    if length == 0:
        image.cursor.fail("its body is empty")
    yield from skip(length)


def ignored(image: Image, length: int) -> Reading:
    """Optional record that this reader need not understand."""
    yield from skip(length)


def pv_info(image: Image, length: int) -> Reading:
    """Width and page table levels of a PV guest."""
    expect_length(image, length, PV_INFO.size)
    width, levels, reserved = yield from unpack(PV_INFO)
    if PV_LEVELS.get(width) != levels:
        image.cursor.fail(f"no PV guest has width {width} and {levels} levels")
    _expect_zero(image, any(reserved))
    image.width = width


def p2m_frames(image: Image, length: int) -> Reading:
    """Frames that hold the guest's own pfn to mfn table."""
    if length < COUNT.size:
        image.cursor.fail(f"its body of {length} bytes can't hold a range")
    start, end = yield from unpack(COUNT)
    per_frame = PAGE_SIZE // image.width
    if start > end:
        image.cursor.fail(f"its range {start} to {end} is upside down")
    frames = end // per_frame + 1 - start // per_frame
    expect_length(image, length, COUNT.size + 8 * frames)
    if start >= per_frame:
        image.cursor.fail(f"frames 0x0 to {start - 1:#x} are not in its range")
    yield from blocks(
        8 * frames, 8 * PFN_BLOCK, lambda block: _in_range(image, block, end)
    )
    image.max_pfn = end
    image.frames = NamedFrames(end)
    image.pfns = frames


def _in_range(image: Image, block: bytes, end: int) -> None:
    highest = max(struct.unpack(f"<{len(block) // 8}Q", block))
    if highest > end:
        image.cursor.fail(f"frame {highest:#x} lies above the last one, {end:#x}")


def page_data(image: Image, length: int) -> Reading:
    """Frame numbers with types, then the pages that have contents."""
    if length < COUNT.size:
        image.cursor.fail(f"its body of {length} bytes can't hold a page count")
    count, reserved = yield from unpack(COUNT)
    _expect_zero(image, reserved)
    if count == 0:
        image.cursor.fail("it names no page")
    if COUNT.size + 8 * count > length:
        image.cursor.fail(f"its body of {length} bytes can't hold {count} frames")
    image.pfns = count
    while count:
        block = min(count, PFN_BLOCK)
        image.pages += _pages_with_data(image, (yield from take(8 * block)))
        count -= block
    expect_length(image, length, COUNT.size + 8 * image.pfns + PAGE_SIZE * image.pages)
    yield from skip(PAGE_SIZE * image.pages)


def _pages_with_data(image: Image, block: bytes) -> int:
    entries = struct.unpack(f"<{len(block) // 8}Q", block)
    limit = image.max_pfn if image.pv else PFN_MASK
    if max(entries) <= limit:  # nearly always: plain pages only, all type bits zero
        pages = len(entries)
    elif min(entries) >= NO_PAGE and max(entries) <= NO_PAGE | limit:
        pages = 0  # a hole: an HVM guest has a million of them below 4 GiB
    else:
        pages = sum(_has_data(image, entry, limit) for entry in entries)
    if image.verifying:
        return pages
    image.contents |= pages > 0
    if image.frames is not None:
        image.frames.add([entry & PFN_MASK for entry in entries])
    return pages


def _has_data(image: Image, entry: int, limit: int) -> bool:
    kind = entry >> PAGE_TYPE_SHIFT
    pfn = entry & PFN_MASK
    if kind not in PAGE_TYPE_NAMES:
        image.cursor.fail(f"frame {pfn:#x} has the illegal type {kind}")
    if entry & RESERVED_MASK:
        image.cursor.fail(f"frame {pfn:#x} has reserved bits set")
    if pfn > limit:
        image.cursor.fail(f"frame {pfn:#x} lies above the last one, {limit:#x}")
    return kind in DATA_PAGE_TYPES


def vcpu_basic(image: Image, length: int) -> Reading:
    """Registers of one vcpu; a body without any is an erratum of Xen 4.6 to 4.8."""
    vcpu, size = yield from _vcpu(image, length, Record.X86_PV_VCPU_BASIC)
    if size not in (0, VCPU_CONTEXT_SIZE[image.width]):
        image.cursor.fail(
            f"its context is {size} bytes long, not {VCPU_CONTEXT_SIZE[image.width]}"
        )
    image.registers |= vcpu == 0 and size > 0


def vcpu_extended(image: Image, length: int) -> Reading:
    """More registers of one vcpu."""
    _, size = yield from _vcpu(image, length, Record.X86_PV_VCPU_EXTENDED)
    if size > MAX_VCPU_EXTENDED:
        image.cursor.fail(f"its context of {size} bytes exceeds {MAX_VCPU_EXTENDED}")


def vcpu_xsave(image: Image, length: int) -> Reading:
    """Extended processor state of one vcpu."""
    _, size = yield from _vcpu(image, length, Record.X86_PV_VCPU_XSAVE)
    if 0 < size < MIN_VCPU_XSAVE:
        image.cursor.fail(f"its context of {size} bytes is shorter than its head")


def vcpu_msrs(image: Image, length: int) -> Reading:
    """Model specific registers of one vcpu."""
    _, size = yield from _vcpu(image, length, Record.X86_PV_VCPU_MSRS)
    if size % MSR_ENTRY_SIZE:
        image.cursor.fail(f"its {size} bytes are no whole number of registers")


def _vcpu(
    image: Image, length: int, kind: int
) -> Generator[Need, bytes, tuple[int, int]]:
    """Read one vcpu's number; give it, and the bytes that follow."""
    if length < COUNT.size:
        image.cursor.fail(f"its body of {length} bytes can't hold a vcpu number")
    vcpu, reserved = yield from unpack(COUNT)
    _expect_zero(image, reserved)
    if vcpu >= MAX_VCPUS:
        image.cursor.fail(f"no domain has a vcpu {vcpu}")
    if (kind, vcpu) in image.vcpus:
        image.cursor.fail(f"it comes twice for vcpu {vcpu}")
    image.vcpus.add((kind, vcpu))
    yield from skip(length - COUNT.size)
    return vcpu, length - COUNT.size


def shared_info(image: Image, length: int) -> Reading:
    """The page that a PV guest shares with Xen."""
    expect_length(image, length, SHARED_INFO_SIZE)
    yield from skip(length)


def tsc_info(image: Image, length: int) -> Reading:
    """How the guest sees time."""
    expect_length(image, length, TSC_INFO.size)
    *_, reserved = yield from unpack(TSC_INFO)
    _expect_zero(image, reserved)


def hvm_params(image: Image, length: int) -> Reading:
    """Index and value of each HVM parameter that is not zero."""
    if length < COUNT.size:
        image.cursor.fail(f"its body of {length} bytes can't hold a count")
    count, reserved = yield from unpack(COUNT)
    _expect_zero(image, reserved)
    expect_length(image, length, COUNT.size + HVM_PARAM_SIZE * count)
    yield from skip(HVM_PARAM_SIZE * count)


def cpuid_policy(image: Image, length: int) -> Reading:
    """CPUID leaves."""
    yield from _entries(image, length, CPUID_LEAF_SIZE)


def msr_policy(image: Image, length: int) -> Reading:
    """MSR values that the guest may see."""
    yield from _entries(image, length, MSR_ENTRY_SIZE)


def _entries(image: Image, length: int, size: int) -> Reading:
    if length == 0:
        image.cursor.fail("its body is empty")
    if length % size:
        image.cursor.fail(
            f"its {length} bytes are no whole number of {size} byte entries"
        )
    yield from skip(length)


def _expect_zero(image: Image, value: int | bool) -> None:
    if value:
        image.cursor.fail("its reserved field is not zero")
