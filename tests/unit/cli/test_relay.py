"""What another program says is printed line by line, and nothing of it is obeyed."""

import os

import pytest

from libxlpy.cli.terminal.output import Output
from libxlpy.cli.terminal.relay import MOST, Relay


async def test_lines_are_printed_as_text(capsys: pytest.CaptureFixture[str]):
    with Relay(Output()) as relay:
        os.write(relay.write_fd, b"one\n\ntw")
        os.write(relay.write_fd, b"o\x1b[2J \xff\r\nno end")
    assert capsys.readouterr().err.splitlines() == [
        "one",
        "two\\x1b[2J \ufffd",
        "no end",
    ]


async def test_line_without_an_end_is_printed_in_parts(
    capsys: pytest.CaptureFixture[str],
):
    with Relay(Output()) as relay:
        os.write(relay.write_fd, b"x" * (3 * MOST))
    printed = capsys.readouterr().err
    assert printed.count("x") == 3 * MOST


async def test_writer_that_outlives_it_is_not_waited_for():
    with Relay(Output()) as relay:
        theirs = os.dup(relay.write_fd)
    with pytest.raises(BrokenPipeError):
        os.write(theirs, b"late\n")
    os.close(theirs)
