"""Samples, their ratios, and the table."""

import statistics
from dataclasses import dataclass, field

#: Of figures, by unit.
DIGITS = {"MB/s": 0, "MiB": 0, "s": 2}


@dataclass
class Samples:
    """Figures of one thing, one a round."""

    values: list[float] = field(default_factory=list)

    @property
    def median(self) -> float:
        """Give the middle one."""
        return statistics.median(self.values)

    def text(self, digits: int) -> str:
        """Give minimum, median and maximum."""
        figures = (min(self.values), self.median, max(self.values))
        return " / ".join(f"{figure:,.{digits}f}" for figure in figures)

    def as_dict(self) -> dict[str, object]:
        """Give them for JSON."""
        low, high = min(self.values), max(self.values)
        return {"min": low, "median": self.median, "max": high, "all": self.values}


@dataclass
class Row:
    """One thing measured, next to its reference."""

    name: str
    unit: str
    less_is_better: bool = False
    ours: Samples = field(default_factory=Samples)
    reference: Samples = field(default_factory=Samples)
    ratio: Samples = field(default_factory=Samples)

    def add(self, ours: float, reference: float) -> None:
        """Take one round's figures."""
        self.ours.values.append(ours)
        self.reference.values.append(reference)
        self.ratio.values.append(ours / reference)

    def misses(self, required: float) -> bool:
        """Tell whether the median of the ratios is on the wrong side of one."""
        if self.less_is_better:
            return self.ratio.median > required
        return self.ratio.median < required

    def as_dict(self) -> dict[str, object]:
        """Give it for JSON."""
        return {
            "name": self.name,
            "unit": self.unit,
            "less_is_better": self.less_is_better,
            "ours": self.ours.as_dict(),
            "reference": self.reference.as_dict(),
            "ratio": self.ratio.as_dict(),
        }


def table(rows: list[Row], what: str) -> str:
    """Give all rows as a Markdown table; each figure is min / median / max."""
    lines = [
        f"{what}, minimum / median / maximum",
        "",
        "| | unit | libxlpy | reference | ratio |",
        "|---|---|---|---|---|",
    ]
    for row in rows:
        digits = DIGITS.get(row.unit, 1)
        cells = [row.name, row.unit, row.ours.text(digits)]
        cells += [row.reference.text(digits), row.ratio.text(2)]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)
