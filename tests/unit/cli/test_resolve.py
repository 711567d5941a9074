"""What `xl list -v` of another host says is read as it is meant."""

import pytest

from libxlpy.cli.other_host import _of_row

UUID = "7f94120c-5995-41b1-9ebf-4ed0635a24d3"


@pytest.mark.parametrize(
    ("state", "reason", "suspended", "paused"),
    [
        ("r-----", "-", False, False),
        ("-b----", "-", False, False),
        ("--p---", "-", False, True),
        ("---ss-", "2", True, False),
        ("---s--", "0", False, False),
        ("---sc-", "3", False, False),
    ],
)
def test_row_of_xl_list(state: str, reason: str, *, suspended: bool, paused: bool):
    name = "my web--migratedaway"
    row = f"{name:<40} {5:5d} {256:5d} {1:5d}     {state}  {12.5:8.1f}"
    info = _of_row(f"{row} {UUID} {reason:>8} {'-':>16}")
    assert info is not None
    assert (info.name, info.domid, info.uuid) == (name, 5, UUID)
    assert info.paused is paused
    assert (info.shutdown_reason == "suspend") is suspended
    assert info.shutdown is (state[3] == "s")


def test_line_that_is_none_is_left_out():
    assert _of_row("Name      ID   Mem VCPUs\tState\tTime(s)   UUID") is None
