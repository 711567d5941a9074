"""What is known of a libxc image while it is read."""

from dataclasses import dataclass, field

from libxlpy.streams.cursor import Cursor
from libxlpy.streams.frames import NamedFrames


@dataclass(slots=True)
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

    cursor: Cursor
    version: int
    pv: bool
    legacy: bool
    checkpointed: bool
    width: int = 0
    max_pfn: int = -1
    frames: NamedFrames | None = None
    verifying: bool = False
    contents: bool = False
    registers: bool = False
    stage: int = 0
    seen: set[int] = field(default_factory=set)
    seen_in_checkpoint: set[int] = field(default_factory=set)
    vcpus: set[tuple[int, int]] = field(default_factory=set)
    pages: int = 0
    pfns: int = 0
