"""Formats of saved domains: one strict grammar without I/O, and readers on top of it.

``grammar`` is the entrance; ``xl``, ``libxl`` and ``libxc`` are the layers, outermost
first; ``rules`` is the table of libxc records and ``bodies`` what is in them; ``pull``
turns needs into bytes; ``reader`` reads descriptors.
"""

from libxlpy.streams.errors import StreamCut, StreamFormatError, StreamRuleBroken
from libxlpy.streams.events import (
    Layer,
    LibxcHeaderRead,
    LibxlHeaderRead,
    RecordRead,
    StreamEvent,
    XlHeaderRead,
)
from libxlpy.streams.grammar import Format, StreamParser
from libxlpy.streams.reader import Summary, read_xl_header, verify
from libxlpy.streams.walk import Walked, walk_to_end

__all__ = [
    "Format",
    "Layer",
    "LibxcHeaderRead",
    "LibxlHeaderRead",
    "RecordRead",
    "StreamCut",
    "StreamEvent",
    "StreamFormatError",
    "StreamParser",
    "StreamRuleBroken",
    "Summary",
    "Walked",
    "XlHeaderRead",
    "read_xl_header",
    "verify",
    "walk_to_end",
]
