"""Deadlines are bounds, and only those that may be are none."""

from typing import Any

import pytest

from libxlpy import errors
from libxlpy.deadlines import Deadlines


@pytest.mark.parametrize("value", [0, -1, float("nan"), None, "5", True])
def test_deadline_that_is_no_bound_is_refused(value: Any):
    with pytest.raises(errors.UsageError, match="hello must be a positive number"):
        Deadlines(hello=value)
    with pytest.raises(errors.UsageError, match="of callback suspend"):
        Deadlines(per_callback={"suspend": value})


def test_each_wait_has_a_bound_by_default_but_the_whole():
    default = Deadlines()
    endless = {name for name in Deadlines.names() if getattr(default, name) is None}
    assert endless == {"total"}


def test_only_two_deadlines_may_be_none_and_only_callbacks_have_their_own():
    endless = Deadlines(total=None, no_progress=None)
    assert (endless.total, endless.no_progress) == (None, None)
    with pytest.raises(errors.UsageError, match="no callback 'suspends'"):
        Deadlines(per_callback={"suspends": 1.0})
