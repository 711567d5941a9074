"""The libxc image, version 2 and 3: headers, then records up to END.

Source: Xen, docs/specs/libxc-migration-stream.pandoc, revision 3.
"""

import struct
from collections.abc import Callable, Generator

from libxlpy.streams.cursor import Cursor
from libxlpy.streams.events import Layer, LibxcHeaderRead, RecordRead
from libxlpy.streams.image import Image
from libxlpy.streams.pull import Need, Reading, skip, unpack
from libxlpy.streams.rules import REFUSED, RULES, Domains, Rule, Stage, Times
from libxlpy_protocol.stream.formats import (
    LIBXC_DOMAIN_SIZE,
    LIBXC_IMAGE_SIZE,
    OPTIONAL_RECORD,
    REC_LENGTH_MAX,
    DomainType,
    libxc_record_name,
    unpack_domain_header,
    unpack_image_header,
)
from libxlpy_protocol.stream.formats import LibxcRecord as Record

RECORD_HEADER = struct.Struct("<II")
#: First version with static data and its end marked.
STATIC_DATA_VERSION = 3


def image_header(
    cursor: Cursor, *, checkpointed: bool
) -> Generator[Need, bytes, Image]:
    """Read the image and domain headers."""
    start = cursor.offset
    cursor.begin("libxc image header")
    version = (yield from cursor.header(LIBXC_IMAGE_SIZE, unpack_image_header)).version
    cursor.begin("libxc domain header")
    domain = yield from cursor.header(LIBXC_DOMAIN_SIZE, unpack_domain_header)
    pv = domain.type is DomainType.X86_PV
    cursor.events.append(
        LibxcHeaderRead(
            start,
            cursor.offset - start,
            version,
            "PV" if pv else "HVM",
            (domain.xen_major, domain.xen_minor),
        )
    )
    legacy = domain.xen_major == 0
    return Image(cursor, version, pv=pv, legacy=legacy, checkpointed=checkpointed)


def records(image: Image) -> Generator[Need, bytes, Record]:
    """Read records up to and including the next END or CHECKPOINT."""
    while True:
        kind = yield from _record(image)
        if kind in (Record.END, Record.CHECKPOINT):
            return Record(kind)


def _record(image: Image) -> Generator[Need, bytes, int]:
    cursor = image.cursor
    kind, length = yield from record_header(cursor, "libxc", libxc_record_name)
    image.pages = image.pfns = 0
    if kind in RULES:
        yield from _known(image, Record(kind), length)
    elif kind < OPTIONAL_RECORD:
        cursor.fail(REFUSED.get(kind, "its type is unknown and not optional"))
    else:
        yield from skip(length)
    yield from cursor.zeros(length)
    cursor.events.append(
        RecordRead(
            Layer.LIBXC,
            cursor.start,
            kind,
            libxc_record_name(kind),
            length,
            image.pages,
            image.pfns,
        )
    )
    return kind


def record_header(
    cursor: Cursor, layer: str, name: Callable[[int], str]
) -> Generator[Need, bytes, tuple[int, int]]:
    """Read type and length of a record of either layer; bound the length."""
    cursor.begin(f"{layer} record")
    kind, length = yield from unpack(RECORD_HEADER)
    cursor.begin(f"{name(kind)} record", cursor.start)
    if length > REC_LENGTH_MAX:
        cursor.fail(f"its body of {length} bytes exceeds the limit of {REC_LENGTH_MAX}")
    return kind, length


def _known(image: Image, kind: Record, length: int) -> Reading:
    rule = RULES[kind]
    _check_domain(image, kind, rule)
    _check_order(image, kind, rule)
    _check_times(image, kind, rule)
    yield from rule.body(image, length)
    image.seen.add(kind)
    image.seen_in_checkpoint.add(kind)
    if kind is Record.CHECKPOINT:
        image.stage = Stage.MEMORY
        image.seen_in_checkpoint.clear()
        image.vcpus.clear()


def _check_domain(image: Image, kind: Record, rule: Rule) -> None:
    if not _has(image, rule):
        image.cursor.fail(f"no {'PV' if image.pv else 'HVM'} domain has it")
    if image.version < rule.min_version:
        image.cursor.fail(f"a version {image.version} image can't hold it")
    if kind is Record.CHECKPOINT and not image.checkpointed:
        image.cursor.fail("this is not a checkpointed stream")
    if kind is Record.VERIFY and image.checkpointed:
        image.cursor.fail("no checkpointed stream has it")


def _has(image: Image, rule: Rule) -> bool:
    return rule.domains in (Domains.ALL, Domains.PV if image.pv else Domains.HVM)


def _check_order(image: Image, kind: Record, rule: Rule) -> None:
    if rule.stage < image.stage and not image.legacy:
        image.cursor.fail("it comes too late")
    if rule.stage > Stage.STATIC and image.version >= STATIC_DATA_VERSION:
        _check_after(image, Record.STATIC_DATA_END)
    for needed in rule.after:
        if _has(image, RULES[needed]):
            _check_after(image, needed)
    image.stage = max(image.stage, rule.stage)


def _check_after(image: Image, needed: Record) -> None:
    stage = RULES[needed].stage
    seen = image.seen_in_checkpoint if stage is Stage.STATE else image.seen
    if needed not in seen:
        image.cursor.fail(f"it comes before {needed.name}")


def _check_times(image: Image, kind: Record, rule: Rule) -> None:
    seen = image.seen if rule.times is Times.ONCE else image.seen_in_checkpoint
    if rule.times is not Times.ANY and kind in seen:
        image.cursor.fail("it comes twice")
