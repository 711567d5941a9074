"""Commands in messages can be typed as they stand."""

import pytest

from libxlpy.domain.remedies import as_seen, both_asked


@pytest.mark.parametrize(
    ("domain", "reached_by", "words"),
    [
        ("web", "ssh target", "xlpy migrate --resolve web target"),
        ("my web", "ssh target", "xlpy migrate --resolve 'my web' target"),
        ("7", "ssh -p 22 root@b", "xlpy migrate --resolve -s 'ssh -p 22' 7 root@b"),
        ("web", "", "xlpy migrate --resolve web HOST"),
    ],
)
def test_both_hosts_are_asked_as_the_migration_was_begun(
    domain: str, reached_by: str, words: str
):
    assert both_asked(domain, reached_by) == f"`{words}`"


def test_who_has_looked_says_what_was_seen():
    assert as_seen("a b") == "`xlpy migrate --resolve --runs here|there 'a b'`"
