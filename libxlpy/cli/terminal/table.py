"""Tables as they are drawn on a terminal: numbers to the right, nothing too wide."""

from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.table import Column, Table


def cut() -> Column:
    """Give a column that is cut if it is too wide: an ellipsis can't always be shown.

    What is shown in place of it would make the line too wide, and all else run down.
    """
    return Column(no_wrap=True, overflow="crop")


def table(heads: Sequence[str], rows: Iterable[Sequence[str]], left: int = 0) -> Table:
    """Give a table.

    Args:
        heads: Of its columns; a line feed begins a second line.
        rows: As many cells each.
        left: How many columns hold words.
    """
    made = Table(box=None, padding=(0, 1, 0, 0), header_style="bold")
    for place, head in enumerate(heads):
        made.add_column(
            head,
            justify="left" if place < left else "right",
            vertical="bottom",
            overflow="crop",
        )
    for row in rows:
        made.add_row(*map(escape, row))
    return made


class LiveTable:
    """One on stdout that is drawn anew, until it is taken away."""

    def __init__(self, heads: Sequence[str], left: int) -> None:
        """Begin with nothing; see :func:`table`."""
        self._heads = heads
        self._left = left
        self._live = Live(console=Console(), auto_refresh=False, transient=True)
        self._live.start()

    def draw(self, rows: Iterable[Sequence[str]]) -> None:
        """Draw these in place of those before."""
        self._live.update(table(self._heads, rows, self._left), refresh=True)

    def end(self) -> None:
        """Take it away and give the cursor back."""
        self._live.stop()
