"""Flat pictures of boxes and text, as SVG written here or as PNG by Pillow."""

import io
from collections.abc import Iterable, Iterator
from typing import Literal
from xml.sax.saxutils import escape

from libxlpy.cli.terminal.outcome import CommandFailed
from libxlpy_protocol.value import Value

INK = "#1a1a1a"
PAPER = "#ffffff"
#: Pixels of a PNG for one unit of the picture: sharp on today's screens.
SCALE = 2
FONTS = "Helvetica, Arial, 'Liberation Sans', 'DejaVu Sans', sans-serif"
Anchor = Literal["start", "middle", "end"]


class Box(Value):
    """A filled rectangle; all numbers are units from the top left corner."""

    x: int
    y: int
    width: int
    height: int
    colour: str


class Text(Value):
    """One line of text; ``y`` is its base line, ``x`` where its anchor is."""

    x: int
    y: int
    text: str
    size: int = 13
    bold: bool = False
    anchor: Anchor = "start"


class Picture:
    """What is drawn, in the order of drawing: boxes, then text.

    Attributes:
        title: For those who can't see it.
    """

    def __init__(self, width: int, height: int, title: str) -> None:
        self.width = width
        self.height = height
        self.title = title
        self.boxes: list[Box] = []
        self.texts: list[Text] = []


# ---- SVG -------------------------------------------------------------------------


def svg(picture: Picture) -> bytes:
    """Give a picture as SVG: one path for each colour in sequence."""
    area = f'width="{picture.width}" height="{picture.height}"'
    view = f"0 0 {picture.width} {picture.height}"
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {area} viewBox="{view}" role="img">',
        f"<title>{_xml(picture.title)}</title>",
        f"<style>text{{font-family:{FONTS};fill:{INK}}}.b{{font-weight:bold}}</style>",
        f'<rect {area} fill="{PAPER}"/>',
        '<g shape-rendering="crispEdges">',
        *_paths(picture.boxes),
        "</g>",
        *map(_svg_text, picture.texts),
        "</svg>",
    ]
    return ("\n".join(lines) + "\n").encode()


def _paths(boxes: Iterable[Box]) -> Iterator[str]:
    colour, path = "", ""
    for box in boxes:
        if box.colour != colour and path:
            yield f'<path fill="{colour}" d="{path}"/>'
            path = ""
        colour = box.colour
        path += f"M{box.x} {box.y}h{box.width}v{box.height}h-{box.width}z"
    if path:
        yield f'<path fill="{colour}" d="{path}"/>'


def _svg_text(text: Text) -> str:
    anchor = f' text-anchor="{text.anchor}"' if text.anchor != "start" else ""
    bold = ' class="b"' if text.bold else ""
    return (
        f'<text x="{text.x}" y="{text.y}" font-size="{text.size}"{anchor}{bold}>'
        f"{_xml(text.text)}</text>"
    )


def _xml(text: str) -> str:
    """Escape text; what XML can't hold becomes a question mark."""
    return escape("".join(c if c.isprintable() else "?" for c in text))


# ---- PNG -------------------------------------------------------------------------


def check_png() -> None:
    """Make sure that PNGs can be made, before any work is done.

    Raises:
        CommandFailed: Pillow is missing; says how to get it.
    """
    try:
        from PIL import Image, ImageDraw, ImageFont  # noqa: F401
    except ImportError:
        raise CommandFailed(
            'a PNG needs Pillow: pip install "libxlpy[plot]" (an .svg needs nothing)'
        ) from None


def png(picture: Picture) -> bytes:
    """Give a picture as PNG, twice as large in pixels as in units."""
    from PIL import Image, ImageDraw, ImageFont

    size = (picture.width * SCALE, picture.height * SCALE)
    image = Image.new("RGB", size, PAPER)
    draw = ImageDraw.Draw(image)
    for box in picture.boxes:
        right, bottom = box.x + box.width, box.y + box.height
        corners = (box.x, box.y, right, bottom)
        left, top, right, bottom = (SCALE * value for value in corners)
        draw.rectangle((left, top, right - 1, bottom - 1), fill=box.colour)
    anchors = {"start": "ls", "middle": "ms", "end": "rs"}
    for text in picture.texts:
        draw.text(
            (text.x * SCALE, text.y * SCALE),
            text.text,
            fill=INK,
            font=ImageFont.load_default(text.size * SCALE),
            anchor=anchors[text.anchor],
            stroke_width=0.6 if text.bold else 0,
        )
    data = io.BytesIO()
    image.save(data, "PNG", optimize=True)
    return data.getvalue()
