"""Everything in a file is counted; of a damaged one, everything before the damage."""

import os
import struct
from pathlib import Path

import pytest

from libxlpy.streams import Layer, StreamRuleBroken, verify
from libxlpy.streams.page_map import MAX_FRAMES
from libxlpy.streams.summary import MAX_PARAMS, MAX_TYPES, OTHERS, TscInfo, summarize
from libxlpy_protocol.stream.formats import PageType
from tests.support import stream_samples as samples
from tests.unit.cli.inspect.files import (
    entry,
    hvm_file,
    opened,
    pages,
    piped,
    summary_of,
)


def everything(summary):
    """Give what can be compared of a summary."""
    names = [name for name in vars(summary) if name not in ("frames", "file_size")]
    facts = {name: getattr(summary, name) for name in names}
    return {**facts, "damage": str(summary.damage)}, summary.frames.histogram()


def test_pv_file_is_told_in_full():
    summary = summary_of(samples.PV_FILE)
    assert summary.damage is None
    assert summary.xl is not None
    assert summary.xl.config == samples.CONFIG
    assert summary.libxc is not None
    assert summary.libxc.xen_version == (4, 20)
    assert (summary.guest_width, summary.p2m_frames) == (8, 6)
    assert summary.tsc == TscInfo(1, 2, 4)
    assert summary.entries == {0: 4, PageType.XTAB: 1, PageType.L1TAB_PINNED: 1}
    assert summary.pages == 5
    assert summary.size == summary.file_size == len(samples.PV_FILE)
    assert summary.records[Layer.LIBXC, "PAGE_DATA"].count == 2
    assert summary.emulator_id is None


def test_hvm_file_is_told_in_full():
    summary = summary_of(samples.HVM_FILE)
    assert summary.params == [(1, 2), (3, 4)]
    assert summary.emulator_id == 2
    assert summary.emulator_bytes == len(b"qemu state" * 30)
    assert summary.emulator_keys == 2
    assert summary.frames.histogram() == {1: 3, 2: 2}
    assert summary.frames.highest == 4


def test_records_and_headers_are_all_the_bytes():
    for data in (samples.PV_FILE, samples.HVM_FILE):
        summary = summary_of(data)
        heads = sum(h.length for h in (summary.xl, summary.libxl, summary.libxc))
        assert heads + sum(c.bytes for c in summary.records.values()) == len(data)


@pytest.mark.parametrize("data", [samples.PV_FILE, samples.HVM_FILE])
def test_pipe_tells_the_same_as_a_file(data):
    with piped(data) as fd:
        through_pipe = summarize(fd)
    assert through_pipe.file_size is None
    assert everything(through_pipe) == everything(summary_of(data))


@pytest.mark.parametrize("data", [samples.PV_FILE, samples.HVM_FILE])
@pytest.mark.parametrize("make", [opened, piped])
def test_cut_anywhere_gives_what_verify_says(data, make):
    for cut in [*range(0, 300, 7), *range(300, len(data), 397), len(data) - 1]:
        with opened(data[:cut]) as fd, pytest.raises(StreamRuleBroken) as caught:
            verify(fd)
        with make(data[:cut]) as fd:
            summary = summarize(fd)
        assert str(summary.damage) == str(caught.value)
        assert summary.size == cut


def test_bytes_behind_the_end_are_damage():
    summary = summary_of(samples.PV_FILE + b"x")
    assert "lies behind END" in str(summary.damage)
    assert summary.pages == 5


def test_illegal_page_type_counts_what_came_before():
    broken = samples.page_data(entry(9), 5 << 60 | 10, contents=2)
    summary = summary_of(hvm_file([pages(1, 2), broken]))
    assert "illegal type 5" in str(summary.damage)
    assert summary.frames.histogram() == {1: 2}


def test_verify_pass_is_no_second_round():
    summary = summary_of(hvm_file([pages(0, 1), samples.VERIFY, pages(0, 1)]))
    assert summary.damage is None
    assert summary.frames.histogram() == {1: 2}
    assert summary.verify_entries == 2
    assert summary.pages == 4


def test_padding_of_keys_is_no_key():
    keys = samples.record(2, struct.pack("<II", 2, 0) + b"a\0b\0c\0\0")
    image = samples.hvm_image()
    stream = samples.libxl_stream(image, keys, samples.EMULATOR_CONTEXT, samples.END)
    assert summary_of(samples.xl_file(stream)).emulator_keys == 2


def test_lists_have_a_bound():
    count = MAX_PARAMS + 50
    numbers = struct.pack(f"<II{2 * count}Q", count, 0, *range(2 * count))
    optional = [samples.record(0x80000000 + n) for n in range(MAX_TYPES + 9)]
    state = [samples.TSC, samples.HVM_CONTEXT, samples.record(0x0A, numbers)]
    records = [*samples.HVM_STATIC, *optional, pages(0), *state, samples.END]
    image = samples.hvm_image(*records)
    summary = summary_of(samples.xl_file(samples.libxl_stream(image)))
    assert summary.damage is None
    assert len(summary.params) == MAX_PARAMS
    assert len(summary.records) <= MAX_TYPES + 2
    assert summary.records[Layer.LIBXC, OTHERS].count > 9


def test_frame_beyond_the_limit_is_no_damage():
    summary = summary_of(hvm_file([pages(3, MAX_FRAMES + 8)]))
    assert summary.damage is None
    assert summary.frames.beyond == MAX_FRAMES + 8
    assert summary.entries[0] == 2


def test_unreadable_file_is_a_failure_not_damage(tmp_path):
    fd = os.open(tmp_path, os.O_RDONLY)
    try:
        summary = summarize(fd)
    finally:
        os.close(fd)
    assert isinstance(summary.failure, IsADirectoryError)
    assert summary.damage is None


def test_contents_of_pages_are_not_read(tmp_path):
    """Half a GiB of pages in a file with holes: only what matters is read."""
    batch = 1024
    entries = [struct.pack(f"<II{batch}Q", batch, 0, *range(n, n + batch))
               for n in range(0, 128 * batch, batch)]  # fmt: skip
    whole = hvm_file([])
    at = whole.index(samples.STATIC_DATA_END) + len(samples.STATIC_DATA_END)
    path = tmp_path / "sparse"
    with path.open("wb") as file:
        file.write(whole[:at])
        for numbers in entries:
            file.write(struct.pack("<II", 1, len(numbers) + batch * 4096) + numbers)
            file.seek(batch * 4096, os.SEEK_CUR)
        file.write(whole[at:])
    with path.open("rb", buffering=0) as file:
        before = bytes_read()
        summary = summarize(file.fileno())
        read = bytes_read() - before
    assert summary.damage is None
    assert summary.pages == 128 * batch
    assert read < 2 << 20


def bytes_read() -> int:
    """Give the bytes that this process has read so far."""
    return int(Path("/proc/self/io").read_text().split()[1])
