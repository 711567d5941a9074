"""What the grammar reports: one event per header and per record, once it is checked.

Offsets are absolute, in bytes from the first byte that was fed.
"""

import enum

from libxlpy_protocol.value import Value


class Layer(enum.Enum):
    """Which of the nested formats a piece belongs to."""

    XL = "xl"  #: the file header and configuration that `xl save` writes
    LIBXL = "libxl"  #: libxl stream, version 2
    LIBXC = "libxc"  #: libxc image, version 2 or 3


class XlHeaderRead(Value):
    """The xl file header is complete and sound, with its configuration.

    Attributes:
        offset: Where it starts.
        length: Header and optional data, in bytes.
        mandatory_flags: Bits a reader must understand (1 JSON, 2 libxl v2 stream).
        optional_flags: Bits a reader may ignore.
        config: Configuration without its final NUL; None if the file has none.
        config_is_json: The configuration is JSON, else xl's own text.
    """

    offset: int
    length: int
    mandatory_flags: int
    optional_flags: int
    config: bytes | None
    config_is_json: bool


class LibxlHeaderRead(Value):
    """The libxl stream header is sound.

    Attributes:
        offset: Where it starts.
        length: Its size in bytes.
        version: Format version.
        legacy: The stream was converted from the format before Xen 4.6.
    """

    offset: int
    length: int
    version: int
    legacy: bool


class LibxcHeaderRead(Value):
    """The image and domain headers of the libxc image are sound.

    Attributes:
        offset: Where they start.
        length: Their size in bytes.
        version: Format version, 2 or 3.
        domain_type: ``"PV"`` or ``"HVM"``; PVH guests are HVM to libxc.
        xen_version: (major, minor) of the writer; major 0 is a converted stream.
    """

    offset: int
    length: int
    version: int
    domain_type: str
    xen_version: tuple[int, int]


class RecordRead(Value):
    """One record is complete and sound.

    Attributes:
        layer: ``Layer.LIBXL`` or ``Layer.LIBXC``.
        offset: Where its header starts.
        type: Number of its type.
        name: Name of its type as in Xen's specification.
        length: Body in bytes, as announced, without header and padding.
        pages: Guest pages in it whose contents are in the stream.
        pfns: Guest frames it names, with or without contents.
    """

    layer: Layer
    offset: int
    type: int
    name: str
    length: int
    pages: int = 0
    pfns: int = 0


StreamEvent = XlHeaderRead | LibxlHeaderRead | LibxcHeaderRead | RecordRead
