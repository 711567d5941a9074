"""Failures of the emulated machine, which are nobody's of ours: one more try.

QEMU's emulation of AMD's SVM makes a hardware-assisted guest triple fault now and then,
whatever is done to it; one restored guest in some hundred, of xl's own, too, sleeps and
nothing wakes it; and libxl gives a device model 10 s, however slow the machine is. A
defect of ours that shows in the same way shows at the second try, too.
"""

from collections.abc import Sequence

import pytest
from _pytest.runner import runtestprotocol

from .diagnosis import hypervisor_log
from .support import SilentGuestError

TRIPLE_FAULT = "Triple fault"
#: What xl says when libxl's own limits were too short.
TOO_SLOW = "device model did not start: -9"
SILENT = SilentGuestError.__name__


def run_twice_if_emulation_fails(
    item: pytest.Item, nextitem: pytest.Item | None
) -> None:
    """Run a test; once more if the emulation has failed it."""
    faults = triple_faults()
    reports = runtestprotocol(item, log=False, nextitem=nextitem)
    why = failure_of_emulation(reports, faults)
    if why:
        print(f"\n{item.nodeid}: {why}: once more")
        for title, text in (part for report in reports for part in report.sections):
            print(f"{title}:\n{text}")
        item._initrequest()  # type: ignore[attr-defined]
        reports = runtestprotocol(item, log=False, nextitem=nextitem)
    for report in reports:
        item.ihook.pytest_runtest_logreport(report=report)


def failure_of_emulation(reports: Sequence[pytest.TestReport], faults: int) -> str:
    """Tell which of its failures failed a test; empty if none did."""
    failed = [report.longreprtext for report in reports if report.failed]
    if failed and triple_faults() > faults:
        return TRIPLE_FAULT
    found = [why for why in (TOO_SLOW, SILENT) if any(why in text for text in failed)]
    return found[0] if found else ""


def triple_faults() -> int:
    """Count what the hypervisor has told of them so far."""
    return hypervisor_log().count(TRIPLE_FAULT)
