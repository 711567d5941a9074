"""The report as one page of HTML: all in it, nothing fetched, no script.

Names and log lines are strangers' texts: each goes through :func:`text`.
"""

import time
from collections.abc import Iterable, Iterator, Sequence
from html import escape
from typing import Final

from libxlpy import MigrationOpen
from libxlpy.cli.report.charts import chart, linear, logarithmic
from libxlpy.cli.report.story import Story
from libxlpy.cli.report.style import STYLE
from libxlpy.cli.terminal.output import printable, size_text
from libxlpy_protocol.xen import PAGE_SIZE

#: Log lines of a failure that are shown at once; all are among the details.
LOGS: Final = 12
MIB: Final = 1 << 20
LEGEND: Final = '<p class="legend">The guest is suspended where it is shaded.</p>'
UNKNOWN: Final = "\u2013"

Facts = Sequence[tuple[str, str]]


def text(said: str) -> str:
    """Give anybody's text as it stands in a page."""
    return escape(printable(said), quote=True)


def page(story: Story, surroundings: Facts) -> bytes:
    """Give the whole page.

    Args:
        story: What has happened.
        surroundings: (what, text): who has done it, on which host, with what.
    """
    title = f"{story.kind} of {_name(story)}"
    kind, outcome = _outcome(story)
    heading = text(title[0].upper() + title[1:])
    parts = [
        f'<h1>{heading} <span class="{kind}">{outcome}</span></h1>',
        *([f'<p class="failed">{text(story.failed)}</p>'] if story.failed else []),
        _table(["", ""], [*_facts(story), *surroundings], "facts"),
        *_repairs(story),
        *_curves(story),
        *_passes(story),
        *_parts(story),
        *_phases(story),
        *_logs(story),
        *_details(story),
    ]
    body = "\n".join(parts)
    head = (
        '<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta http-equiv="Content-Security-Policy" '
        "content=\"default-src 'none'; style-src 'unsafe-inline'\">\n"
        f"<title>{text(title)}</title>\n<style>{STYLE}</style>"
    )
    whole = (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n{head}\n</head>\n'
        f"<body>\n{body}\n</body>\n</html>\n"
    )
    return whole.encode(errors="backslashreplace")


def _name(story: Story) -> str:
    return "a domain" if story.domain is None else f"'{story.domain.name}'"


def _outcome(story: Story) -> tuple[str, str]:
    """Give (class, word)."""
    if isinstance(story.error, MigrationOpen):
        return "bad", "open"
    if story.failed:
        refused = story.report is None
        return "bad", "refused" if refused else "failed"
    return "good", "saved" if story.kind == "save" else "moved"


def _facts(story: Story) -> Iterator[tuple[str, str]]:
    domain, report = story.domain, story.report
    if domain is not None:
        yield "Domain", f"{domain.name} (domid {domain.domid}), {domain.type}"
        yield "UUID", domain.uuid
        yield "Memory", size_text(domain.memory_kib * 1024)
    yield "To", story.where
    began = time.strftime("%Y-%m-%d %H:%M:%S %z", time.localtime(story.began))
    yield "Began", f"{began}, took {story.duration:.2f} s"
    if report is None:
        return
    figures = report.statistics
    rate = "" if figures.mbps is None else f", {size_text(figures.mbps * 1e6 / 8)}/s"
    yield "Sent", f"{size_text(figures.transferred)}{rate}"
    if story.downtime is not None:
        yield "Downtime", f"{story.downtime:,.0f} ms"
    yield "Guest", story.guest or f"{report.guest.value} here"


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]], kind: str) -> str:
    """Give a table of texts, which are made harmless here."""
    top = "".join(f"<th>{text(head)}</th>" for head in heads)
    head = f"<thead><tr>{top}</tr></thead>" if any(heads) else ""
    lines = "\n".join(
        "<tr>" + "".join(f"<td>{text(cell)}</td>" for cell in row) + "</tr>"
        for row in rows
    )
    return f'<table class="{kind}">{head}<tbody>\n{lines}\n</tbody></table>'


def _list(title: str, lines: Sequence[str]) -> list[str]:
    if not lines:
        return []
    items = "\n".join(f"<li>{text(line)}</li>" for line in lines)
    return [f"<h2>{title}</h2>\n<ul>\n{items}\n</ul>"]


# ----- parts, in order ----------------------------------------------------------------


def _repairs(story: Story) -> list[str]:
    report = story.report
    if report is None:
        return []
    done = _list("What was found and repaired", report.repairs) if story.failed else []
    return [
        *done,
        *_list("Later errors", report.later_errors),
        *_list("Remarks", report.remarks),
    ]


def _curves(story: Story) -> Iterator[str]:
    dirty, down, whole = story.dirty, story.down, story.duration
    legend = LEGEND if down is not None else ""
    if len(dirty) > 1:
        scale = logarithmic([pages for _, pages in dirty])
        what = "Pages left to be sent, over time"
        drawn = chart(what, dirty, scale, whole, down, marked=True)
        yield f"<figure><h2>Dirty pages (logarithmic)</h2>{drawn}{legend}</figure>"
    rates = [(at, rate / MIB) for at, rate in story.rates]
    if len(rates) > 1:
        scale = linear(max(rate for _, rate in rates), " MiB/s")
        drawn = chart("Throughput, over time", rates, scale, whole, down, marked=False)
        yield f"<figure><h2>Throughput</h2>{drawn}{legend}</figure>"


def _passes(story: Story) -> Iterator[str]:
    expected = {each.iteration: each.expected_downtime for _, each in story.looked_at}
    if not story.history:
        return
    rows = []
    for place, each in enumerate(story.history):
        last = story.down is not None and place == len(story.history) - 1
        downtime = None if last else expected.get(each.number)
        rate = each.pages_sent * PAGE_SIZE / each.seconds if each.seconds > 0 else None
        rows.append(
            (
                "guest suspended" if last else str(each.number),
                f"{each.pages_sent:,}",
                f"{each.seconds:.3f} s",
                UNKNOWN if rate is None else f"{size_text(rate)}/s",
                UNKNOWN if each.dirty_found is None else f"{each.dirty_found:,}",
                UNKNOWN if downtime is None else f"{downtime:,.0f} ms",
            )
        )
    heads = ("Pass", "Pages sent", "Took", "Rate", "Dirty after it")
    yield "<h2>Passes over memory</h2>"
    yield _table([*heads, "Expected downtime"], rows, "numbers")


def _parts(story: Story) -> Iterator[str]:
    parts = [(name, ms) for name, ms in story.parts if ms > 0]
    whole = sum(ms for _, ms in parts)
    if not whole:
        return
    bars = "".join(
        f'<span class="p{place % 8}" style="width:{ms / whole * 100:.2f}%" '
        f'title="{text(name)}"></span>'
        for place, (name, ms) in enumerate(parts)
    )
    rows = "\n".join(
        f'<tr><td><i class="p{place % 8}"></i>{text(name)}</td>'
        f"<td>{ms:,.1f} ms</td></tr>"
        for place, (name, ms) in enumerate(parts)
    )
    yield "<h2>Downtime by parts</h2>"
    yield f'<div class="stack">{bars}</div>'
    yield f'<table class="numbers narrow"><tbody>\n{rows}\n</tbody></table>'


def _phases(story: Story) -> Iterator[str]:
    whole, down = story.duration, story.down
    if not whole or not story.phases:
        return
    yield '<h2>Phases</h2>\n<table class="phases"><tbody>'
    for name, at, took in story.phases:
        kind = "while-down" if down and down[0] <= at < down[1] else ""
        place = f"left:{at / whole * 100:.2f}%;width:{took / whole * 100:.2f}%"
        bar = f'<div class="track"><span class="{kind}" style="{place}"></span></div>'
        times = f"<td>{at:.3f} s</td><td>{took * 1e3:,.1f} ms</td>"
        yield f"<tr><td>{text(name)}</td><td>{bar}</td>{times}</tr>"
    yield "</tbody></table>"


def _logs(story: Story) -> list[str]:
    if not story.failed or story.report is None:
        return []
    return _list("Last log lines", story.report.log_lines[-LOGS:])


def _details(story: Story) -> list[str]:
    if story.report is None:
        return []
    lines = "\n".join(map(text, story.report.lines()))
    summary = "<summary>All that is known</summary>"
    return [f"<details>{summary}\n<pre>{lines}</pre>\n</details>"]
