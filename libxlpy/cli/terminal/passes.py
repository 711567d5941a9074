"""The passes of a live copy as a table and a curve; as texts, for a view to place."""

import math
from collections.abc import Sequence
from typing import Final

from libxlpy import Iteration, Statistics
from libxlpy.cli.terminal.output import size_text
from libxlpy.events import JobEvent, PhaseEvent, PrecopyEvent, ProgressEvent
from libxlpy_protocol.xen import PAGE_SIZE, pass_of

#: Heads of the columns; the last one has two lines, or 60 columns would not do.
HEADS: Final = ("pass", "sent", "dirty", "rate", "expected\ndowntime")
#: Of what nobody has looked at.
UNKNOWN: Final = "-"
#: In place of its number: the pass that is made while the guest is suspended.
DOWN: Final = "down"
#: What fills the curve from nothing to full; the second where the first can't be shown.
BLOCKS: Final = " \u2581\u2582\u2583\u2584\u2585\u2586\u2587\u2588"
ASCII: Final = " .:#"
#: Columns that one pass may take.
WIDEST: Final = 7
CAPTION: Final = "dirty pages after each pass (logarithmic)"

Row = tuple[str, ...]


class Passes:
    """What is known of the passes of one job; none if it is not live."""

    def __init__(self) -> None:
        self._ended: tuple[Iteration, ...] = ()
        #: Number and pages sent of the one under way.
        self._now: tuple[int, int] | None = None
        self._rate: float | None = None
        self._expected: dict[int, float | None] = {}
        #: How many were made while the guest ran; None while it runs.
        self._live: int | None = None

    def take(self, event: JobEvent, figures: Statistics | None) -> None:
        """Take an event, and the figures as of then if there are any."""
        match event:
            case PhaseEvent("suspended") if self:
                self._live = len(self._ended) + (self._now is not None)
                self._now = None
            case ProgressEvent(_, doing, done):
                number = pass_of(doing)
                if number is not None and number >= 0:
                    self._now = (number, done)
            case PrecopyEvent():
                self._expected[event.iteration] = event.expected_downtime
            case _:
                pass
        if figures is not None and self:
            self._ended = figures.history
            self._rate = None if figures.mbps is None else figures.mbps * 1e6 / 8

    def end(self, figures: Statistics | None) -> None:
        """Take the figures of the end: no pass is under way any more."""
        self._now = None
        if figures is not None and self:
            self._ended = figures.history

    def __bool__(self) -> bool:
        """Tell whether there are any."""
        return bool(self._ended or self._now or self._live is not None)

    def rows(self, most: int) -> list[Row]:
        """Give the newest passes, oldest first, with one cell for each of HEADS."""
        rows = [self._row(place, each) for place, each in enumerate(self._ended)]
        has_ended = self._live is not None and len(rows) > self._live
        if self._now is not None and not has_ended:
            number, sent = self._now
            rate = _rate_text(self._rate)
            rows.append((self._name(len(rows), number), f"{sent:,}", "", rate, ""))
        return rows[-most:]

    def _name(self, place: int, number: int) -> str:
        return DOWN if self._live is not None and place >= self._live else str(number)

    def _row(self, place: int, made: Iteration) -> Row:
        name, dirty = self._name(place, made.number), made.dirty_found
        expected = None if name == DOWN else self._expected.get(made.number)
        sent = made.pages_sent * PAGE_SIZE
        return (
            name,
            f"{made.pages_sent:,}",
            UNKNOWN if dirty is None else f"{dirty:,}",
            _rate_text(sent / made.seconds if made.seconds > 0 else None),
            UNKNOWN if expected is None else f"{expected:,.0f} ms",
        )

    def curve(self, width: int, height: int, encoding: str) -> list[str]:
        """Give the curve of convergence, top down; nothing before the second pass.

        Args:
            width: Columns that there are.
            height: Lines of the curve itself; a caption follows.
            encoding: Of what it is shown on.
        """
        found = [made.dirty_found for made in self._ended]
        values = [each for each in found if each is not None]
        if len(values) < 2:
            return []
        ink = BLOCKS if _has(encoding, BLOCKS) else ASCII
        return columns(values, width, height, ink)


def columns(values: Sequence[int], width: int, height: int, ink: str) -> list[str]:
    """Draw columns on a logarithmic scale, and say what its ends stand for.

    Args:
        values: Not negative. If there are more than fit, neighbours are put together.
        width: Columns of the terminal.
        height: Lines of the highest one.
        ink: One line of a column, from nothing to full.
    """
    top, bottom = f"{max(values):,} ", f"{floor(values):,} "
    margin = max(len(top), len(bottom))
    room = max(width - margin, 1)
    size = math.ceil(len(values) / room)
    highest = [max(values[at : at + size]) for at in range(0, len(values), size)]
    wide = min(WIDEST, room // len(highest))
    levels = _levels(highest, floor(values), height * (len(ink) - 1))
    labels = [top, *[""] * (height - 2), bottom][:height]
    lines = []
    for below, label in zip(reversed(range(height)), labels, strict=True):
        full = len(ink) - 1
        parts = [min(max(level - below * full, 0), full) for level in levels]
        drawn = "".join((ink[part] * max(wide - 1, 1)).ljust(wide) for part in parts)
        lines.append(f"{label:>{margin}}{drawn}".rstrip())
    return [*lines, f"{'':{margin}}{CAPTION}"[:width]]


def floor(values: Sequence[int]) -> int:
    """Give where the scale begins: the power of ten below all that are not 0."""
    lowest = min((value for value in values if value), default=0)
    return 10 ** max(math.ceil(math.log10(lowest)) - 1, 0) if lowest else 0


def _levels(values: Sequence[int], lowest: int, most: int) -> list[int]:
    """Give how high each is, of so many steps; what is not 0 is seen."""
    if not lowest:
        return [0] * len(values)
    whole = math.log(max(*values, 2) / lowest)
    parts = [math.log(value / lowest) / whole if value else 0.0 for value in values]
    return [
        max(round(part * most), 1) if value else 0
        for value, part in zip(values, parts, strict=True)
    ]


def _rate_text(rate: float | None) -> str:
    return UNKNOWN if rate is None else f"{size_text(rate)}/s"


def _has(encoding: str, text: str) -> bool:
    try:
        text.encode(encoding)
    except (UnicodeEncodeError, LookupError):
        return False
    return True
