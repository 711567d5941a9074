"""Failures of the emulated machine, which are nobody's of ours: one more try.

QEMU's emulation of AMD's SVM makes a hardware-assisted guest triple fault now and then,
whatever is done to it, and libxl gives a device model 10 s, however slow the machine. A
defect of ours that shows in the same way shows at the second try, too.
"""

from collections.abc import Sequence

import pytest
from _pytest.runner import runtestprotocol

from .support import hypervisor_log

TRIPLE_FAULT = "Triple fault"
#: What xl says when libxl's own limits were too short.
TOO_SLOW = "device model did not start: -9"


def run_twice_if_emulation_fails(
    item: pytest.Item, nextitem: pytest.Item | None
) -> None:
    """Run a test; once more if the emulation has failed it."""
    faults = triple_faults()
    reports = runtestprotocol(item, log=False, nextitem=nextitem)
    why = failure_of_emulation(reports, faults)
    if why:
        print(f"\n{item.nodeid}: {why}: once more")
        item._initrequest()  # type: ignore[attr-defined]
        reports = runtestprotocol(item, log=False, nextitem=nextitem)
    for report in reports:
        item.ihook.pytest_runtest_logreport(report=report)


def failure_of_emulation(reports: Sequence[pytest.TestReport], faults: int) -> str:
    """Tell which of its failures failed a test; empty if none did."""
    failed = [report for report in reports if report.failed]
    if failed and triple_faults() > faults:
        return TRIPLE_FAULT
    return TOO_SLOW if any(TOO_SLOW in report.longreprtext for report in failed) else ""


def triple_faults() -> int:
    """Count what the hypervisor has told of them so far."""
    return hypervisor_log().count(TRIPLE_FAULT)
