"""Pictures hold what the map holds: both formats, safe text, merged runs."""

import colorsys
import io
from itertools import combinations
from xml.etree import ElementTree as ET

import pytest
from PIL import Image

from libxlpy.cli.inspect.memory_picture import (
    _LOOKS,
    LEFT,
    MAP,
    TOP,
    exact_size,
    picture_of,
)
from libxlpy.cli.inspect.picture import INK, SCALE, Box, Picture, Text, png, svg
from libxlpy.cli.terminal.outcome import CommandFailed
from libxlpy.streams.page_map import MAX_FRAMES
from libxlpy_protocol.stream.formats import PageType
from tests.unit.cli.inspect.files import entry, hvm_file, pages, summary_of

MEMORY = [
    pages(*range(64), *(entry(n, PageType.L2TAB_PINNED) for n in range(64, 70))),
    pages(entry(70, PageType.XTAB), entry(71, PageType.BROKEN), *range(72, 200)),
    pages(*range(10, 20)),
]


def picture(records=MEMORY, **options):
    return picture_of(summary_of(hvm_file(records, **options)), "guest.img")


def test_cells_fill_the_map_without_overlap():
    drawn = picture()
    cell = MAP // 16
    inside = [b for b in drawn.boxes if LEFT <= b.x < LEFT + MAP and b.height >= cell]
    area = sum(box.width * box.height for box in inside)
    assert area == 200 * cell * cell
    for one, other in combinations(inside, 2):
        assert (
            one.x + one.width <= other.x
            or other.x + other.width <= one.x
            or one.y + one.height <= other.y
            or other.y + other.height <= one.y
        )


def test_runs_of_one_kind_are_one_box():
    drawn = picture([pages(*range(256))])
    boxes = [box for box in drawn.boxes if box.colour == _LOOKS[PageType.NOTAB][0]]
    assert Box(LEFT, TOP, MAP, MAP, _LOOKS[PageType.NOTAB][0]) in boxes
    assert len(boxes) == 2  # the map, and its colour in the legend


def test_legend_counts_each_kind():
    words = [text.text for text in picture().texts]
    assert "182 (728.0 KiB) sent once" in words
    assert "10 (40.0 KiB) sent again" in words
    for name in ("NOTAB", "L2TAB_PINNED", "BROKEN", "XTAB"):
        assert name in words
    assert "L1TAB" not in words


def test_picture_is_as_high_as_what_is_in_it():
    drawn = picture()
    assert all(box.x + box.width <= drawn.width for box in drawn.boxes)
    assert all(box.y + box.height <= drawn.height for box in drawn.boxes)
    assert all(text.y < drawn.height for text in drawn.texts)


def test_svg_is_sound_and_holds_all_text():
    drawn = picture(config=b'{"c_info": {"name": "<a & b>"}}\0')
    root = ET.fromstring(svg(drawn))
    names = "{http://www.w3.org/2000/svg}"
    texts = [node.text for node in root.iter(f"{names}text")]
    assert texts == [text.text for text in drawn.texts]
    assert "Memory of <a & b> by page type" in texts
    assert root.get("viewBox") == f"0 0 {drawn.width} {drawn.height}"


def test_svg_takes_any_name():
    drawn = Picture(10, 10, "\x00\x1b[31m\ud800")
    drawn.texts.append(Text(1, 1, "\x07"))
    root = ET.fromstring(svg(drawn))
    assert root[0].text == "??[31m?"


def test_png_shows_the_same_cells():
    drawn = picture()
    image = Image.open(io.BytesIO(png(drawn))).convert("RGB")
    assert image.size == (drawn.width * SCALE, drawn.height * SCALE)
    for box in drawn.boxes:
        if box.width < 10 or box.height < 10:
            continue
        corner = image.getpixel((box.x * SCALE + 1, box.y * SCALE + 1))
        assert "#{:02x}{:02x}{:02x}".format(*corner) == box.colour


def test_text_is_dark_and_tones_differ_in_grey():
    assert lightness(INK) < 0.15
    for once, again, _ in _LOOKS.values():
        assert once == again or lightness(once) - lightness(again) > 0.3


def lightness(colour: str) -> float:
    red, green, blue = (int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5))
    return colorsys.rgb_to_hls(red, green, blue)[1]


@pytest.mark.parametrize(
    ("frames", "text"),
    [(1, "4 KiB"), (256, "1 MiB"), (1 << 18, "1 GiB"), (0x108000, "4,224 MiB")],
)
def test_addresses_are_exact(frames, text):
    assert exact_size(frames) == text


def test_no_picture_without_pages():
    with pytest.raises(CommandFailed, match=r"no page in guest\.img"):
        picture([])


def test_no_picture_beyond_the_limit():
    with pytest.raises(CommandFailed, match="0x10000001 lies beyond the limit"):
        picture([pages(1, MAX_FRAMES + 1)])
