"""Tables on a terminal, by rich, and as aligned text for everything else."""

from collections.abc import Iterator

from rich.console import Console
from rich.markup import escape
from rich.table import Table as RichTable

from libxlpy.cli.inspect.text import Table

#: Columns that hold words; all others hold numbers.
WORDS = frozenset({"Layer", "Record", "Page type"})


def plain(table: Table) -> Iterator[str]:
    """Give a table as lines, columns aligned by spaces."""
    rows = [table.head, *table.rows] if table.head else list(table.rows)
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    yield table.title
    for row in rows:
        cells = [
            cell.ljust(width) if is_words(table, number) else cell.rjust(width)
            for number, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        yield "  " + "  ".join(cells).rstrip()


def is_words(table: Table, column: int) -> bool:
    """Say whether a column is aligned to the left."""
    return not table.head or table.head[column] in WORDS


def rich(table: Table) -> str:
    """Give a table as a terminal shows it."""
    drawn = RichTable(
        title=escape(table.title),
        title_style="bold",
        title_justify="left",
        box=None,
        header_style="dim",
        show_header=bool(table.head),
        pad_edge=False,
        padding=(0, 2, 0, 1),
    )
    for number in range(len(table.rows[0])):
        title = table.head[number] if table.head else ""
        left = is_words(table, number)
        style = "cyan" if number == 0 and not table.head else None
        drawn.add_column(title, justify="left" if left else "right", style=style)
    for row in table.rows:
        drawn.add_row(*map(escape, row))
    console = Console()
    with console.capture() as capture:
        console.print(drawn)
    return capture.get().rstrip("\n")
