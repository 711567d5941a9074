"""Nodes of the device model that come in a stream are checked."""

import pytest

from libxlpy import errors
from libxlpy.domain.device_model import checked_pairs


@pytest.mark.parametrize(
    ("data", "pairs"),
    [
        (b"", []),
        (b"physmap/0/size\x0010\0", [(b"physmap/0/size", b"10")]),
        (b"a\0\0b\0c\0", [(b"a", b""), (b"b", b"c")]),
    ],
)
def test_emulator_nodes_are_cut_into_pairs(data: bytes, pairs: list[object]):
    assert checked_pairs(data) == pairs


@pytest.mark.parametrize(
    "data",
    [
        b"no end",
        b"odd\0",
        b"/absolute\0v\0",
        b"../../../tool\0v\0",
        b"a/../b\0v\0",
        b"a/./b\0v\0",
        b"a//b\0v\0",
        b"\0v\0",
        b"sp ace\0v\0",
        b"a" * 300 + b"\0v\0",
        b"k\0" + b"v" * 5000 + b"\0",
    ],
)
def test_emulator_nodes_that_could_harm_are_refused(data: bytes):
    with pytest.raises(errors.XenstoreError):
        checked_pairs(data)
