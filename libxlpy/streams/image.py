"""What is known of a libxc image while it is read."""

from libxlpy.streams.cursor import Cursor
from libxlpy.streams.frames import NamedFrames


class Image:
    """One libxc image being read.

    Attributes:
        cursor: Where the reading is.
        version: Format version, 2 or 3.
        pv: A PV domain; else HVM or PVH.
        legacy: Converted from the format before Xen 4.6; its order is not checked.
        checkpointed: A Remus stream: checkpoints follow the first image.
        width: Bytes of a guest word of a PV domain, 4 or 8; 0 until known.
        max_pfn: Highest frame of a PV domain; -1 until known.
        frames: Those that were named, of a PV domain; None until known how many.
        verifying: Pages are sent once more, to be compared.
        contents: A page of memory was read.
        registers: Those of vcpu 0 were read, of a PV domain.
        stage: Part of the image, see `rules.Stage`.
        seen: Types of records read so far.
        seen_in_checkpoint: The same since the last checkpoint.
        vcpus: (record type, vcpu id) since the last checkpoint.
        pages: Pages with contents in the current record.
        pfns: Frames named by the current record.
    """

    def __init__(
        self,
        cursor: Cursor,
        version: int,
        *,
        pv: bool,
        legacy: bool,
        checkpointed: bool,
    ) -> None:
        self.cursor = cursor
        self.version = version
        self.pv = pv
        self.legacy = legacy
        self.checkpointed = checkpointed
        self.width = 0
        self.max_pfn = -1
        self.frames: NamedFrames | None = None
        self.verifying = False
        self.contents = False
        self.registers = False
        self.stage = 0
        self.seen: set[int] = set()
        self.seen_in_checkpoint: set[int] = set()
        self.vcpus: set[tuple[int, int]] = set()
        self.pages = 0
        self.pfns = 0
