"""Reading descriptors: only the header is taken, whole files are summed up."""

import os
from pathlib import Path

import pytest

from libxlpy.streams import (
    Format,
    StreamParser,
    StreamRuleBroken,
    read_xl_header,
    verify,
)
from tests.support import stream_samples as samples


def test_the_header_leaves_a_pipe_at_the_stream() -> None:
    reader, writer = os.pipe()
    os.write(writer, samples.xl_file(b"stream"))
    try:
        header = read_xl_header(reader)
        assert header.config == samples.CONFIG
        assert os.read(reader, 100) == b"stream"
    finally:
        os.close(reader)
        os.close(writer)


def test_a_header_cut_short_is_named(tmp_path: Path) -> None:
    path = tmp_path / "image"
    path.write_bytes(samples.PV_FILE[:50])
    with path.open("rb") as file, pytest.raises(StreamRuleBroken) as caught:
        read_xl_header(file.fileno())
    assert str(caught.value) == (
        "xl configuration at offset 48: the stream ends inside it, at offset 50"
    )


def test_a_whole_file_is_summed_up(tmp_path: Path) -> None:
    path = tmp_path / "image"
    path.write_bytes(samples.HVM_FILE)
    with path.open("rb") as file:
        summary = verify(file.fileno())
    assert summary.size == len(samples.HVM_FILE)
    assert summary.pages == 7
    assert summary.records["libxc PAGE_DATA"] == 2
    assert summary.libxc is not None
    assert summary.libxc.domain_type == "HVM"


@pytest.mark.parametrize("cut", [1, 100, 1 << 20])
def test_on_a_device_the_stream_ends_at_end(cut: int) -> None:
    data = samples.PV_FILE + b"what was there before" * 9
    parser = StreamParser(Format.XL, on_device=True)
    for start in range(0, len(data), cut):
        parser.feed(data[start : start + cut])
    parser.close()
    assert parser.offset == len(samples.PV_FILE)
    unfinished = StreamParser(Format.XL, on_device=True)
    unfinished.feed(samples.PV_FILE[:-1])
    with pytest.raises(StreamRuleBroken, match="the stream ends inside it"):
        unfinished.close()
