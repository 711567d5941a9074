"""What a process has said last."""

from libxlpy.errors import last_line


def test_last_line_skips_empty_ones():
    assert last_line("a\nb\n\n  \n") == "b"
    assert last_line("") == ""


def test_long_line_is_cut_in_its_middle():
    assert last_line("x" * 500) == "x" * 500
    assert last_line("a" * 400 + "b" * 400) == "a" * 250 + "..." + "b" * 250
