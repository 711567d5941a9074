"""Tests that fail on the emulated machine get one more try, and that is never hidden.

QEMU's emulation of AMD's SVM makes a hardware-assisted guest triple fault now and then,
whatever is done to it; one restored guest in some hundred, of xl's own, too, sleeps and
nothing wakes it; and libxl gives a device model 10 s, however slow the machine is. What
fails for another reason is tried once more, too, but only a few times in a run. A
defect of ours that is always there is there at the second try, too.
"""

from collections.abc import Iterator, Sequence

import pytest
from _pytest.runner import runtestprotocol

from .diagnosis import hypervisor_log
from .support import SilentGuestError

TRIPLE_FAULT = "Triple fault"
#: What xl says when libxl's own limits were too short.
TOO_SLOW = "device model did not start: -9"
SILENT = SilentGuestError.__name__

#: As in scripts/test for the tests without Xen.
UNSTABLE = "UNSTABLE, find out why if it passes now"
unexplained = iter([UNSTABLE] * 3)


def run_twice_if_it_fails(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """Run a test; once more if it has failed, as long as there are not many."""
    faults = triple_faults()
    reports = runtestprotocol(item, log=False, nextitem=nextitem)
    failed = [report for report in reports if report.failed]
    if failed and (why := why_once_more(failed, faults)):
        print(f"\n{item.nodeid}: {why}: once more")
        print("\n".join(lines_of(failed)), flush=True)
        item._initrequest()  # type: ignore[attr-defined]
        reports = runtestprotocol(item, log=False, nextitem=nextitem)
    for report in reports:
        item.ihook.pytest_runtest_logreport(report=report)


def why_once_more(failed: Sequence[pytest.TestReport], faults: int) -> str:
    """Tell why a failed test is tried once more; empty if it is not."""
    if triple_faults() > faults:
        return TRIPLE_FAULT
    for why in (TOO_SLOW, SILENT):
        if any(why in report.longreprtext for report in failed):
            return why
    return next(unexplained, "")


def lines_of(failed: Sequence[pytest.TestReport]) -> Iterator[str]:
    """Give all that is known of a failure, which no report of pytest's will have."""
    for report in failed:
        yield report.longreprtext
        for title, text in report.sections:
            yield f"-- {title} --\n{text}"


def triple_faults() -> int:
    """Count what the hypervisor has told of them so far."""
    return hypervisor_log().count(TRIPLE_FAULT)
