"""Our flags of a save, and libxc's."""

import pytest

from libxlpy import errors
from libxlpy.operations.flags import SuspendFlags, xc_flags


def test_flags_are_translated_one_by_one():
    assert int(xc_flags(SuspendFlags.LIVE)) == 1
    assert int(xc_flags(SuspendFlags.DEBUG)) == 2
    with pytest.raises(errors.UsageError):
        xc_flags(SuspendFlags(4))
