"""Streams that are cut, damaged or malicious: an error each, never a crash."""

import errno
import os
import random
import struct

import pytest

from tests.integration.simxen.c.driving import PAGE, restore, save

IMAGE_HEADER, DOMAIN_HEADER, RECORD_HEADER = 24, 16, 8
PAGE_DATA, STATIC_DATA_END = 0x01, 0x10
PAGES = 1024
RANDOM_CUTS, FLIPS = 20, 80
#: What a damaged stream may be answered with.
#: 0: the stream ends; libxc has no errno for that.
ENDED = 0
EXPECTED = {errno.EBADMSG, ENDED, errno.ENOMEM}


def record(kind, body=b""):
    return struct.pack("<II", kind, len(body)) + body + bytes(-len(body) % 8)


def page_data(entries, pages, *, count=None):
    head = struct.pack("<II", len(entries) if count is None else count, 0)
    return record(
        PAGE_DATA,
        head + struct.pack(f"<{len(entries)}Q", *entries) + bytes(PAGE) * pages,
    )


def records(stream):
    """Give (offset, type, length) of each record."""
    found, at = [], IMAGE_HEADER + DOMAIN_HEADER
    while at < len(stream):
        kind, length = struct.unpack_from("<II", stream, at)
        found.append((at, kind, length))
        at += RECORD_HEADER + length + -length % 8
    assert at == len(stream)
    return found


def after(stream, kind, *, replace=None, insert=b""):
    """Put bytes behind the first record of a kind, or replace that record."""
    for at, found, length in records(stream):
        end = at + RECORD_HEADER + length + -length % 8
        if found == kind:
            kept = stream[:at] + replace if replace is not None else stream[:end]
            return kept + insert + stream[end:]
    raise AssertionError(f"no record {kind:#x}")


class Target:
    """Gives a stream to an empty domain; a refused one stays empty for the next."""

    def __init__(self, host, program, kind, path):
        self.host, self.program, self.path = host, program, path
        self.domid = host.empty(kind)

    def feed(self, stream):
        self.path.write_bytes(stream)
        fd = os.open(self.path, os.O_RDONLY)
        try:
            return restore(self.host, self.program, self.domid, fd)
        finally:
            os.close(fd)

    def refuses(self, stream, number=errno.EBADMSG):
        outcome = self.feed(stream)
        assert (outcome.retval, outcome.errno) == (-1, number), outcome.lines
        assert outcome.errors[-1].startswith("Restore failed")
        assert not self.host.info(self.domid)["valid"]


@pytest.fixture(params=["pv", "pvh"])
def kind(request):
    return request.param


@pytest.fixture
def stream(host, sanitized, image, tmp_path, kind):
    """A good stream of a small domain with two vcpus."""
    outcome = save(host, sanitized, host.create(kind, vcpus=2), image)
    assert outcome.retval == 0
    return (tmp_path / "image").read_bytes()


@pytest.fixture
def target(host, sanitized, tmp_path, kind):
    return Target(host, sanitized, kind, tmp_path / "damaged")


def cuts(stream):
    """Around each boundary of the format, and anywhere."""
    edges = {0, IMAGE_HEADER, IMAGE_HEADER + DOMAIN_HEADER}
    for at, found, _ in records(stream):
        edges |= {at, at + RECORD_HEADER}
        if found == PAGE_DATA:
            edges |= {at + RECORD_HEADER + 8, at + RECORD_HEADER + 16, at + 3 * PAGE}
    near = {edge + move for edge in edges for move in (-1, 0, 1)}
    chosen = random.Random(1)
    near |= {chosen.randrange(len(stream)) for _ in range(RANDOM_CUTS)}
    return sorted(cut for cut in near if 0 <= cut < len(stream))


def test_cut_anywhere(stream, target):
    for cut in cuts(stream):
        target.refuses(stream[:cut], ENDED)
    assert target.feed(stream).retval == 0


def test_any_damaged_header_is_survived(stream, target):
    chosen = random.Random(2)
    headers = list(range(IMAGE_HEADER + DOMAIN_HEADER))
    for at, _, length in records(stream):
        headers += range(at, at + RECORD_HEADER + min(length, 24))
    for _ in range(FLIPS):
        damaged = bytearray(stream)
        for at in chosen.sample(headers, chosen.choice((1, 1, 2, 8))):
            damaged[at] ^= 1 << chosen.randrange(8)
        outcome = target.feed(bytes(damaged))
        known = EXPECTED | {errno.EINVAL}  # the domain is whole after a harmless flip
        assert outcome.retval == 0 or outcome.errno in known, outcome.lines


def crafted():
    """Give where each bad record goes (None: where memory begins), and its bytes."""
    last, many = PAGES - 1, 2**32 - 1
    static = {
        "unknown mandatory record": record(0x7F),
        "toolstack record": record(0x0B, bytes(8)),
        "checkpoint in a plain stream": record(0x0E),
        "second static data end": record(STATIC_DATA_END),
        "record over the limit": struct.pack("<II", PAGE_DATA, (128 << 20) + 8),
        "huge length": struct.pack("<II", PAGE_DATA, many),
        "huge optional length": struct.pack("<II", 0x80000001, many),
        "TSC info too short": record(0x08, bytes(16)),
        "TSC info too long": record(0x08, bytes(32)),
    }
    memory = {
        "no pfns": page_data([], 0),
        "pfn behind the domain": page_data([PAGES], 1),
        "largest pfn": page_data([2**52 - 1], 1),
        "type that is no type": page_data([5 << 60], 1),
        "reserved bits": page_data([1 << 52], 1),
        "more pfns than bytes": page_data([1, 2], 0, count=many),
        "more pfns than pages": page_data([0] * (PAGES + 1), PAGES + 1),
        "page without pfn": page_data([1], 2),
        "pfn without page": page_data([1, last], 1),
        "data for a page type that has none": page_data([15 << 60], 1),
    }
    return {**dict.fromkeys(static, STATIC_DATA_END), **dict.fromkeys(memory, None)}, {
        **static,
        **memory,
    }


def test_crafted_records_are_refused(stream, target, kind):
    first_memory = 0x03 if kind == "pv" else STATIC_DATA_END
    places, bodies = crafted()
    for name, bad in bodies.items():
        place = places[name] or first_memory
        target.refuses(after(stream, place, insert=bad))


def test_order_is_checked(stream, target, kind):
    body = page_data([0], 1)
    target.refuses(after(stream, STATIC_DATA_END, replace=body))
    target.refuses(after(stream, STATIC_DATA_END, replace=b""))
    other = (
        record(0x02, bytes([8, 4, *[0] * 6])) if kind == "pvh" else record(0x09, b"x")
    )
    target.refuses(after(stream, STATIC_DATA_END, insert=other))
    state = 0x04 if kind == "pv" else 0x09
    target.refuses(after(stream, state, replace=b""))


def test_what_may_be_there_is_taken(stream, target, host):
    optional = record(0x80000001, b"12345") + record(0xFFFFFFFF)
    policies = record(0x11, bytes(24)) + record(0x12, bytes(32))
    empty_page = page_data([15 << 60 | 3], 0)
    place = 0x03 if any(found == 0x03 for _, found, _ in records(stream)) else 0x10
    good = after(stream, place, insert=empty_page + optional)
    good = good[: IMAGE_HEADER + DOMAIN_HEADER] + optional + good[40:]
    at = next(at for at, found, _ in records(good) if found == STATIC_DATA_END)
    good = good[:at] + policies + good[at:]
    outcome = target.feed(good)
    assert outcome.retval == 0
    assert outcome.of("call") == ["static_data_done 0"]
    assert host.whole(target.domid)


def test_padding_must_be_zero(stream, target):
    bad = bytearray(record(0x80000001, b"12345"))
    bad[-1] = 1
    target.refuses(after(stream, STATIC_DATA_END, insert=bytes(bad)))


def test_older_versions_and_big_endian_are_refused(stream, target):
    for offset, value in ((15, 2), (15, 4), (17, 1), (0, 0), (8, 0)):
        damaged = bytearray(stream)
        damaged[offset] = value
        target.refuses(bytes(damaged))
