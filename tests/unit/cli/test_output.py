"""What is printed: one line, safe for a terminal, kept apart from the work."""

import io

import pytest

from libxlpy.cli.command import run_command
from libxlpy.cli.terminal.outcome import FAILED, CommandFailed
from libxlpy.cli.terminal.output import Output, one_line, size_text
from libxlpy.cli.terminal.signals import Signals


@pytest.mark.parametrize(
    ("text", "safe"),
    [
        ("plain", "plain"),
        ("two\nlines  here\t", "two lines here"),
        ("red \x1b[31m", "red \\x1b[31m"),
        ("bell \x07", "bell \\x07"),
        ("right-to-left \u202e", "right-to-left \\xe2\\x80\\xae"),
        ("größe", "größe"),
        ("gr\udcc3\udcb6\udcc3\udc9fe", "größe"),
        ("no text \udcff", "no text \\xff"),
        ("half \ud800 \udcff", "half \\xed\\xa0\\x80 \\xed\\xb3\\xbf"),
    ],
)
def test_one_line_is_safe_to_print(text: str, safe: str) -> None:
    assert one_line(text) == safe


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (64 << 20, "64.0 MiB"),
        (3 << 40, "3.0 TiB"),
        (5 << 50, "5120.0 TiB"),
    ],
)
def test_sizes_are_readable(size: int, text: str) -> None:
    assert size_text(size) == text


def test_facts_and_notes_go_their_ways(capsys: pytest.CaptureFixture[str]) -> None:
    out = Output()
    out.fact("fact")
    out.json({"a": [1]})
    out.note("note")
    assert capsys.readouterr() == ('fact\n{"a":[1]}\n', "note\n")
    assert out.failure is None


def test_notes_hold_nothing_that_a_terminal_would_obey(
    capsys: pytest.CaptureFixture[str],
) -> None:
    Output().note("  two\nlines \x1b]0;title\x07 \r\x9b2J")
    assert (
        capsys.readouterr().err == "  two\nlines \\x1b]0;title\\x07 \\r\\xc2\\x9b2J\n"
    )


def test_tracebacks_hold_nothing_that_a_terminal_would_obey(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise CommandFailed("outer \x1b[2J") from ValueError("inner \x1b[31m\r\x9b")

    monkeypatch.setattr("libxlpy.cli.list.list_domains", fail)
    assert run_command(["-v", "list"], Signals()) == FAILED
    told = capsys.readouterr().err
    assert "Traceback (most recent call last):\n" in told
    assert "ValueError: inner \\x1b[31m\\r\\xc2\\x9b\n" in told
    assert all(each.isprintable() for each in told.split("\n"))


def test_closed_streams_are_known_from_the_start(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("sys.stdout", None)
    monkeypatch.setattr("sys.stderr", None)
    out = Output()
    out.fact("unheard")
    out.note("unheard")
    assert out.failure is not None


@pytest.mark.parametrize(
    ("encoding", "errors", "printed"),
    [
        ("ascii", "strict", b"\\xce\\xa9 \\xc3\\xbc \\xff\n"),
        ("latin-1", "strict", b"\\xce\\xa9 \xfc \\xff\n"),
        ("utf-8", "strict", "\u03a9 \xfc \\xff\n".encode()),
        ("utf-8", "surrogateescape", "\u03a9 \xfc ".encode() + b"\xff\n"),
    ],
)
def test_what_an_encoding_lacks_is_written_out(
    monkeypatch: pytest.MonkeyPatch, encoding: str, errors: str, printed: bytes
) -> None:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding, errors)
    for name in ("sys.stdout", "sys.stderr"):
        monkeypatch.setattr(name, stream)
    out = Output()
    out.fact("\u03a9 \xfc \udcff")
    out.note("\u03a9 \xfc \udcff")
    told = printed.replace(b"\xff\n", b"\\xff\n")  # a terminal may obey any byte
    assert raw.getvalue() == printed + told
    stream.detach()


def test_a_full_stdout_is_remembered_and_left_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with io.open("/dev/full", "w") as full:  # noqa: UP020 - as sys.stdout is made
        monkeypatch.setattr("sys.stdout", full)
        out = Output()
        out.fact("first")
        assert out.failure is not None
        assert out.failure.strerror == "No space left on device"
        out.fact("second")
