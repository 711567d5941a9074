"""What a helper has said last."""

from libxlpy.process.helper import last_line


def test_last_line_skips_empty_ones():
    assert last_line("a\nb\n\n  \n") == "b"
    assert last_line("") == ""
