"""Fixtures for the tests in dom0."""

import itertools
import os
import platform
import shutil
from collections.abc import Callable, Generator, Iterator
from pathlib import Path

import pytest

from libxlpy_helper.options import Options
from libxlpy_helper.xen.library import open_library
from libxlpy_helper.xen.xenguest import Handle

from .cells import cell_of, line_of
from .diagnosis import diagnosis
from .peer import gives, meet, stand_by
from .restoring import have_interfaces, monitors
from .second_try import run_twice_if_it_fails
from .support import (
    CONFIGS,
    PATIENCE,
    Guest,
    domains,
    helpers,
    left_of_domains,
    ok,
    wait_for,
)

MakeGuest = Callable[..., Guest]

#: Of a report: the cell that its test fills, see `cells`.
CELL = "cell"
_numbers = itertools.count(1)
#: In a guest's name: one may go to the other machine, where consoles go by name, too.
SUITE = platform.freedesktop_os_release()["VERSION_CODENAME"]


def pytest_collection_modifyitems(
    config: pytest.Config, items: list[pytest.Item]
) -> None:
    """Give each test a last resort above all the waits in it.

    Those that need both machines come first, as both have just booted; who stands by
    has none of what the other one does.
    """
    items.sort(key=lambda item: not {"joined", "stood_by"} & fixtures(item))
    if not config.option.collectonly and not gives():
        theirs = [item for item in items if "joined" in fixtures(item)]
        items[:] = [item for item in items if item not in theirs]
        config.hook.pytest_deselected(items=theirs)
    for item in items:
        if "xen" in item.keywords:
            item.add_marker(pytest.mark.timeout(PATIENCE * 5))
        if cell := cell_of(item):
            item.user_properties.append((CELL, cell))


def fixtures(item: pytest.Item) -> set[str]:
    """Return the names of all fixtures that a test needs."""
    return set(getattr(item, "fixturenames", ()))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the cells that were seen, for scripts/cells."""
    for outcome in ("passed", "failed"):
        for report in terminalreporter.stats.get(outcome, []):
            for name, value in report.user_properties:
                if name == CELL:
                    passed = outcome == "passed"
                    terminalreporter.write_line(line_of(value, passed=passed))


def pytest_collection_finish(session: pytest.Session) -> None:
    """Print the cells that have tests if those are only to be listed."""
    if session.config.option.collectonly:
        for item in session.items:
            if cell := cell_of(item):
                print(line_of(cell, passed=False))


def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> bool:
    """Try once more what has failed, as the machine is emulated and slow."""
    item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
    run_twice_if_it_fails(item, nextitem)
    item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
    return True


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[
    None, pytest.TestReport, pytest.TestReport
]:
    """Show what can be known of its guests beside a failed test."""
    report = yield
    if report.failed:
        report.sections += diagnosis()
    return report


@pytest.fixture(scope="session", autouse=True)
def dom0_first() -> None:
    """Have a guest not take half of the one processor from the program under test."""
    ok("xl", "sched-credit2", "-d", "0", "-w", "4096")


@pytest.fixture(scope="session")
def joined() -> None:
    """The other machine stands by: guests may go there."""
    meet()


@pytest.fixture(scope="session")
def stood_by() -> None:
    """On the machine that guests come to: the other one is through with it."""
    if not gives():
        stand_by()
        wait_for("the monitors' end", lambda: None if monitors() else True)


@pytest.fixture(scope="session")
def cgroups() -> Path:
    """The folder of all control groups, of version 2; the rig's init has none."""
    folder = Path("/sys/fs/cgroup")
    if not (folder / "cgroup.procs").exists():
        ok("mount", "-t", "cgroup2", "cgroup2", folder)
    (folder / "cgroup.subtree_control").write_text("+memory")
    return folder


@pytest.fixture(autouse=True)
def clean_host() -> Iterator[None]:
    """Check that a test leaves no domain, nothing of one, and no helper behind."""
    assert Path("/proc/xen/capabilities").read_text().strip() == "control_d"
    yield
    # A process that just ended may still be in the list for a moment.
    wait_for("no domain to be left", lambda: None if domains() else True)
    wait_for("no helper to be left", lambda: None if helpers() else True)
    wait_for(
        "nothing of a domain to be left", lambda: None if left_of_domains() else True
    )


@pytest.fixture
def make_guest(clean_host: None) -> Iterator[MakeGuest]:
    """Make running guests, booted if their kernel is to have something of its own.

    They are destroyed after the test.
    """
    del clean_host  # it must look after we have destroyed
    made: list[Guest] = []

    def make(kind: str, *settings: str) -> Guest:
        guest = Guest(kind, f"{kind}-{SUITE}-{next(_numbers)}")
        made.append(guest)
        if any(line.startswith(("ramdisk", "extra")) for line in settings):
            guest.create(*settings)
        else:  # to boot takes a minute, HVM five
            guest.come_from_image(*settings)
        return guest

    yield make
    for guest in made:
        guest.destroy()


@pytest.fixture
def equipped(make_guest: MakeGuest, tmp_path: Path) -> Guest:
    """A running PVH guest with a disk in a file and a network interface."""
    have_interfaces()
    disk = tmp_path / "disk"
    disk.write_bytes(bytes(1 << 20))
    return make_guest(
        "pvh",
        f'disk=["{disk},raw,xvda,rw,backendtype=qdisk"]',
        'vif=["mac=00:16:3e:01:02:03,script=/bin/true"]',
    )


@pytest.fixture(params=["pv", "pvh"])
def guest(request: pytest.FixtureRequest, make_guest: MakeGuest) -> Guest:
    """A running guest, PV and then PVH, whose memory is changing."""
    return make_guest(request.param)


@pytest.fixture
def saved(tmp_path: Path) -> Iterator[Path]:
    """A file to save to; removed at once, as dom0's /tmp is memory."""
    file = tmp_path / "saved"
    yield file
    file.unlink(missing_ok=True)


@pytest.fixture
def store(saved: Path) -> Iterator[Callable[[str], Guest]]:
    """Have a guest of a kind in the file `saved`, by the real xl, and nowhere else."""
    made: list[Guest] = []

    def store(kind: str) -> Guest:
        made.append(Guest(kind, f"booted-{kind}"))
        shutil.copyfile(CONFIGS / made[-1].name, saved)
        return made[-1]

    yield store
    for guest in made:
        guest.destroy()


@pytest.fixture
def stored(store: Callable[[str], Guest]) -> Guest:
    """A PVH guest that is in a file only."""
    return store("pvh")


@pytest.fixture
def deaf(make_guest: MakeGuest) -> Guest:
    """A running guest whose kernel never looks at what it is asked in xenstore."""
    unheard = "initcall_blacklist=xen_setup_shutdown_event"
    return make_guest("pvh", f'extra="console=hvc0 quiet {unheard}"')


@pytest.fixture
def handle() -> Handle:
    """The hypervisor."""
    return open_library(Options(os.getpid(), "xen", host="", library="")).open()
