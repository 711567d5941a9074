"""What is in a saved domain: its headers, records, memory, and the damage if any.

Its size follows the file's, up to a bound: records are counted by type, frames are kept
in one byte each, lists have an end.
"""

import struct
from collections import Counter
from collections.abc import Callable

from libxlpy.streams.errors import StreamRuleBroken
from libxlpy.streams.events import (
    Layer,
    LibxcHeaderRead,
    LibxlHeaderRead,
    RecordRead,
    StreamEvent,
    XlHeaderRead,
)
from libxlpy.streams.page_map import PageMap
from libxlpy.streams.reader import MAX_TYPES, OTHERS
from libxlpy.streams.walk import Walk, end_of
from libxlpy_protocol.stream.formats import (
    PAGE_TYPE_SHIFT,
    RECORD_HEADER_SIZE,
    LibxcRecord,
    LibxlRecord,
    padding,
)
from libxlpy_protocol.value import Value
from libxlpy_protocol.xen import PAGE_SIZE

#: HVM parameters that are kept; Xen knows fewer than 64.
MAX_PARAMS = 256
#: Where a record's own fields end and its list starts: header, two u32.
LIST_START = RECORD_HEADER_SIZE + 8
_PAIR = struct.Struct("<II")
_PARAM = struct.Struct("<QQ")
_TSC = struct.Struct("<IIQII")
_PARAMS_PIECE = "HVM_PARAMS record"


class RecordCount:
    """Records of one type: how many, and their bytes with headers and padding."""

    def __init__(self) -> None:
        self.count = 0
        self.bytes = 0

    def __eq__(self, other: object) -> bool:
        """Compare both."""
        return isinstance(other, RecordCount) and vars(self) == vars(other)


class TscInfo(Value):
    """How the guest sees time: Xen's mode, frequency in kHz, times it was restored."""

    mode: int
    khz: int
    incarnation: int


class FileSummary:
    """What was read of a file.

    Attributes:
        xl: Header and configuration; None, as all others, if it was not reached.
        libxl: Header of the libxl stream.
        libxc: Headers of the libxc image.
        records: By layer and name, in the order in which they first came.
        entries: Entries of PAGE_DATA records by page type, repeats included.
        pages: Contents in PAGE_DATA records that are whole, repeats included.
        frames: The guest's frames.
        verify_entries: Entries behind VERIFY: a second copy of memory, to compare.
        p2m_frames: Frames of a PV guest.
        guest_width: Bytes of a PV guest's word.
        tsc: Its clock.
        params: HVM parameters, the first `MAX_PARAMS`.
        emulator_id: Whose state is in the file.
        emulator_bytes: That state, in bytes.
        emulator_keys: Keys in xenstore that go with it.
        size: Bytes that were read and are sound, or begin what is not.
        file_size: Bytes of the file; None if it can't be told beforehand.
        damage: The rule that the file breaks.
        failure: What the system said when reading failed.
    """

    def __init__(self) -> None:
        self.xl: XlHeaderRead | None = None
        self.libxl: LibxlHeaderRead | None = None
        self.libxc: LibxcHeaderRead | None = None
        self.records: dict[tuple[Layer, str], RecordCount] = {}
        self.entries: Counter[int] = Counter()
        self.pages = 0
        self.frames = PageMap()
        self.verify_entries = 0
        self.p2m_frames: int | None = None
        self.guest_width: int | None = None
        self.tsc: TscInfo | None = None
        self.params: list[tuple[int, int]] = []
        self.emulator_id: int | None = None
        self.emulator_bytes: int | None = None
        self.emulator_keys = 0
        self.size = 0
        self.file_size: int | None = None
        self.damage: StreamRuleBroken | None = None
        self.failure: OSError | None = None

    @property
    def page_bytes(self) -> int:
        """Bytes that are contents of pages."""
        return self.pages * PAGE_SIZE


def summarize(
    fd: int, on_record: Callable[[StreamEvent], None] | None = None
) -> FileSummary:
    """Read a file to its end, or as far as it goes.

    Args:
        fd: At the file's start; a pipe will do.
        on_record: Told of each header and record as soon as it was read.

    Returns:
        What was read, with `FileSummary.damage` or `.failure` if that is not all.
    """
    collector = _Collector(on_record)
    summary = collector.summary
    walk = Walk(fd, collector)
    summary.file_size = None if walk.parser.on_device else end_of(fd) or None
    try:
        walk.run()
    except StreamRuleBroken as exc:
        summary.damage = exc
    except OSError as exc:
        summary.failure = exc
    summary.size = walk.parser.offset
    return summary


class _Collector:
    """Listens to a walk and fills a summary."""

    def __init__(self, on_record: Callable[[StreamEvent], None] | None) -> None:
        self.summary = FileSummary()
        self._on_record = on_record
        self._verifying = False
        self._key_ends = 0
        self._looks: dict[str, Callable[[int, bytes], None]] = {
            "PAGE_DATA record": self._page_data,
            "X86_PV_INFO record": self._pv_info,
            "X86_PV_P2M_FRAMES record": self._p2m_frames,
            "X86_TSC_INFO record": self._tsc_info,
            _PARAMS_PIECE: self._hvm_params,
            "EMULATOR_XENSTORE_DATA record": self._xenstore_data,
            "EMULATOR_CONTEXT record": self._emulator_id,
        }

    def wants(self, piece: str) -> bool:
        return piece == _PARAMS_PIECE

    def saw(self, piece: str, at: int, data: bytes) -> None:
        look = self._looks.get(piece)
        if look is not None:
            look(at, data)

    def read(self, event: StreamEvent) -> None:
        summary = self.summary
        match event:
            case XlHeaderRead():
                summary.xl = event
            case LibxlHeaderRead():
                summary.libxl = event
            case LibxcHeaderRead():
                summary.libxc = event
            case RecordRead():
                self._count(event)
        if self._on_record is not None:
            self._on_record(event)

    def _count(self, event: RecordRead) -> None:
        key = (event.layer, event.name)
        if key not in self.summary.records and len(self.summary.records) >= MAX_TYPES:
            key = (event.layer, OTHERS)
        count = self.summary.records.setdefault(key, RecordCount())
        count.count += 1
        count.bytes += RECORD_HEADER_SIZE + event.length + padding(event.length)
        self.summary.pages += event.pages
        if event.layer is Layer.LIBXC:
            self._verifying |= event.type == LibxcRecord.VERIFY
        elif event.type == LibxlRecord.EMULATOR_CONTEXT:
            self.summary.emulator_bytes = event.length - _PAIR.size
        elif event.type == LibxlRecord.EMULATOR_XENSTORE_DATA:
            self._key_ends -= padding(event.length)
            self.summary.emulator_keys = self._key_ends // 2

    # ---- bodies, in the order of an image ---------------------------------------

    def _pv_info(self, _at: int, data: bytes) -> None:
        self.summary.guest_width = data[0]

    def _p2m_frames(self, at: int, data: bytes) -> None:
        if at == RECORD_HEADER_SIZE:
            self.summary.p2m_frames = _PAIR.unpack(data)[1] + 1

    def _page_data(self, at: int, data: bytes) -> None:
        if at < LIST_START:
            return
        entries = struct.unpack(f"<{len(data) // 8}Q", data)
        if self._verifying:
            self.summary.verify_entries += len(entries)
            return
        self.summary.frames.add(entries)
        top = 1 << PAGE_TYPE_SHIFT
        if max(entries) < top:  # nearly always: plain pages only
            self.summary.entries[0] += len(entries)
        else:
            self.summary.entries.update(entry >> PAGE_TYPE_SHIFT for entry in entries)

    def _tsc_info(self, _at: int, data: bytes) -> None:
        mode, khz, _, incarnation, _ = _TSC.unpack(data)
        self.summary.tsc = TscInfo(mode, khz, incarnation)

    def _hvm_params(self, at: int, data: bytes) -> None:
        if at < LIST_START:
            return
        room = MAX_PARAMS - len(self.summary.params)
        self.summary.params += list(_PARAM.iter_unpack(data))[:room]

    def _emulator_id(self, at: int, data: bytes) -> None:
        if at == RECORD_HEADER_SIZE:
            self.summary.emulator_id = _PAIR.unpack(data)[0]

    def _xenstore_data(self, at: int, data: bytes) -> None:
        self._emulator_id(at, data)
        if at >= LIST_START:
            self._key_ends += data.count(0)  # padding included, until the end is read
