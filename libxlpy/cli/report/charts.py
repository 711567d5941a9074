"""Curves over time, as SVG that takes its colours from the page around it."""

import math
from collections.abc import Sequence
from html import escape
from typing import Final

from libxlpy.cli.report.story import Point
from libxlpy_protocol.value import Value

#: Units of the picture: all of it, and the margins around the curve.
WIDTH, HEIGHT = 720, 220
LEFT, RIGHT, TOP, BOTTOM = 74, 12, 14, 28
#: Labels that an axis has, more or less.
TICKS: Final = 6
FEW: Final = 3


class Scale(Value):
    """From a value to its place between 0 and 1, and what stands beside the axis."""

    lowest: float
    highest: float
    unit: str
    is_log: bool = False

    def place(self, value: float) -> float:
        """Give where a value is; what is too small lies on the floor."""
        if self.is_log:
            value = max(value, self.lowest)
            whole = math.log(self.highest / self.lowest)
            return math.log(value / self.lowest) / whole
        return (value - self.lowest) / (self.highest - self.lowest)

    def ticks(self) -> list[tuple[float, str]]:
        """Give (place, text) of each label."""
        values = _decades(self) if self.is_log else steps(self.highest)
        return [(self.place(value), f"{value:,.10g}{self.unit}") for value in values]


def linear(highest: float, unit: str) -> Scale:
    """Give a scale from 0 on, with some room above the highest value."""
    return Scale(0.0, highest * 1.05 if highest > 0 else 1.0, unit)


def logarithmic(values: Sequence[float], unit: str = "") -> Scale:
    """Give a scale whose floor is the power of ten below all values that are not 0."""
    positive = [value for value in values if value > 0] or [1.0]
    floor = 10.0 ** max(math.ceil(math.log10(min(positive))) - 1, 0)
    return Scale(floor, max(*positive, floor * 10) * 1.2, unit, is_log=True)


def steps(highest: float) -> list[float]:
    """Give round values from 0 on, a few of them."""
    rough = highest / TICKS
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(each * power for each in (1, 2, 5, 10) if each * power >= rough)
    return [number * step for number in range(int(highest / step) + 1)]


def _decades(scale: Scale) -> list[float]:
    """Give powers of ten, and what is between if they are few."""
    first, last = math.log10(scale.lowest), math.log10(scale.highest)
    powers = [10.0**power for power in range(round(first), math.floor(last) + 1)]
    between = (1, 2, 5) if len(powers) < FEW else (1,)
    values = [power * part for power in powers for part in between]
    return [value for value in values if value <= scale.highest]


def chart(
    what: str,
    points: Sequence[Point],
    scale: Scale,
    duration: float,
    down: tuple[float, float] | None,
    *,
    marked: bool,
) -> str:
    """Draw one curve.

    Args:
        what: For those who can't see it.
        points: (seconds, value), in order.
        scale: Of the values.
        duration: Seconds that the axis of time has.
        down: When the guest was suspended.
        marked: A dot at each point; else the area below is filled.
    """
    time = Scale(0.0, duration or 1.0, " s")
    places = [(_x(time.place(at)), _y(scale.place(value))) for at, value in points]
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    parts = [*_down(time, down), *_axes(time, scale)]
    if marked:
        parts.append(f'<polyline class="curve" points="{path}"/>')
        parts += [
            f'<circle class="dot" cx="{x:.1f}" cy="{y:.1f}" r="3"/>' for x, y in places
        ]
    elif places:
        (first, _), (last, _) = places[0], places[-1]
        base = _y(0.0)
        area = f"{first:.1f},{base} {path} {last:.1f},{base}"
        parts.append(f'<polygon class="area" points="{area}"/>')
        parts.append(f'<polyline class="curve" points="{path}"/>')
    label = escape(what, quote=True)
    box = f"0 0 {WIDTH} {HEIGHT}"
    drawn = "\n".join(parts)
    return f'<svg viewBox="{box}" role="img" aria-label="{label}">\n{drawn}\n</svg>'


def _x(place: float) -> float:
    return LEFT + place * (WIDTH - LEFT - RIGHT)


def _y(place: float) -> float:
    return HEIGHT - BOTTOM - place * (HEIGHT - TOP - BOTTOM)


def _down(time: Scale, down: tuple[float, float] | None) -> list[str]:
    if down is None:
        return []
    x, end = (_x(min(time.place(at), 1.0)) for at in down)
    size = f'width="{max(end - x, 1.5):.1f}" height="{HEIGHT - TOP - BOTTOM}"'
    return [f'<rect class="down" x="{x:.1f}" y="{TOP}" {size}/>']


def _axes(time: Scale, scale: Scale) -> list[str]:
    parts = []
    for place, text in scale.ticks():
        y = _y(place)
        line = f'x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"'
        parts.append(f'<line class="grid" {line}/>')
        at = f'x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end"'
        parts.append(f"<text {at}>{text}</text>")
    for place, text in time.ticks():
        at = f'x="{_x(place):.1f}" y="{HEIGHT - 8}" text-anchor="middle"'
        parts.append(f"<text {at}>{text}</text>")
    return parts
