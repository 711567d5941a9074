"""Real guests for the tests in dom0: create, watch, destroy, look for leftovers."""

import re
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import TypeVar
from warnings import warn

from .loaded_xlpy import LoadedXlpy

# The one limit of everything: the rig's emulation is slow, and slower under load.
PATIENCE = 600.0
#: A kernel prints within half a minute, on a busy machine within two; HVM in five.
BOOT = 300.0
#: A guest prints twice a second; on a busy machine not for a minute after a restore.
SILENCE = 150.0
POLL = 0.1
LINES = 25  # of what a program said, in the report of a failed test

T = TypeVar("T")

CONSOLES = Path("/var/log/xen/console")
CONFIGS = Path("/guest")
#: Of libxenlight: seconds since the machine's start, and the domid that ended then.
DOMID_HISTORY = Path("/run/xen/domid-history")
#: With its newline: a line still being written, or never finished, does not count.
TICK = re.compile(
    r"rig-guest id=([0-9a-f]{8}) count=(\d+) churn=\d+ memory (ok|BAD \w+)\r*\n"
)

# What a save or restore must not leave behind.
HELPERS = ("libxlpy_helper", "libxl-save-helper", "libxlpy-save-helper")


@dataclass(frozen=True)
class Tick:
    """One line of a guest's console.

    Attributes:
        ident: The guest's random id: the same as long as its memory is the same.
        count: Its counter; goes up by one a line.
        memory: What it found when it checked its memory.
    """

    ident: str
    count: int
    memory: str


def wait_for(what: str, ask: Callable[[], T | None]) -> T:
    """Ask again and again until there is an answer, for a bounded time.

    Raises:
        AssertionError: There was none.
    """
    deadline = time.monotonic() + PATIENCE
    while (answer := ask()) is None:
        assert time.monotonic() < deadline, f"waited {PATIENCE:.0f} s for {what}"
        time.sleep(POLL)
    return answer


def settled(ask: Callable[[], bool], seconds: float) -> bool:
    """Tell whether something becomes true in a while."""
    deadline = time.monotonic() + seconds
    while not (answer := ask()) and time.monotonic() < deadline:
        time.sleep(POLL)
    return answer


def run(
    *command: str | Path, seconds: float = PATIENCE
) -> subprocess.CompletedProcess[str]:
    """Run a program of dom0 to its end; its status is the caller's to judge."""
    if command[0] == "xlpy":
        xlpy = LoadedXlpy(command[1:])
        out, err = xlpy.communicate(seconds)
        return subprocess.CompletedProcess(xlpy.args, xlpy.wait() or 0, out, err)
    return subprocess.run(
        [str(part) for part in command],
        check=False,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=seconds,
    )


def ok(*command: str | Path) -> str:
    """Run a program of dom0 that must succeed; return its stdout."""
    done = run(*command)
    said = [*done.stdout.splitlines()[-LINES:], *done.stderr.splitlines()[-LINES:]]
    text = "\n".join([f"{' '.join(done.args)}: {done.returncode}", *said])
    assert done.returncode == 0, text
    return done.stdout


def domains() -> dict[str, str]:
    """Return the state letters of each domain but dom0, by name."""
    rows = [line.split() for line in ok("xl", "list").splitlines()[1:]]
    return {row[0]: row[4] for row in rows if row[1] != "0"}


def command_lines() -> Iterator[tuple[int, list[str]]]:
    """Give the pid and the words of the command line of each process."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().decode(errors="replace").split("\0")
        except OSError:
            continue  # it ended while we looked
        yield int(path.parent.name), words


def processes(name: str) -> list[int]:
    """Return the pids of the processes that run a program."""
    return [pid for pid, words in command_lines() if Path(words[0]).name == name]


def helpers() -> list[str]:
    """Return the command lines of the save and restore helpers that run."""
    found = []
    for _, words in command_lines():
        # Whole words: a shell's command may have a helper's name in its text.
        if any(word.rpartition("/")[2] in HELPERS for word in words):
            found.append(" ".join(words))
    return found


def left_of_domains() -> list[str]:
    """Return what is left in dom0 of domains that are gone."""
    left = [f"node /local/domain/{name}" for name in nodes("/local/domain") - {"0"}]
    left += [f"node /libxl/{name}" for name in nodes("/libxl") - {"0"}]
    kept = Path("/var/lib/xen").glob("userdata-*")  # dom0 has one, too
    left += [str(path) for path in kept if not path.name.startswith("userdata-d.0.")]
    left += [str(path) for path in Path("/var/lib/xen").glob("qemu-*")]
    left += [" ".join(words) for _, domid, words in device_models() if domid]
    return left


def device_models() -> Iterator[tuple[int, int, list[str]]]:
    """Give pid, domid and command line of each qemu; dom0's is its disk backend."""
    for pid, words in command_lines():
        if "-xen-domid" in words:
            yield pid, int(words[words.index("-xen-domid") + 1]), words


def nodes(path: str) -> set[str]:
    """Return the names below a xenstore node; none if it is not there."""
    return set(run("xenstore-list", path).stdout.split())


class SilentGuestError(AssertionError):
    """A guest prints nothing, whatever is done to it."""


class Guest:
    """A domain made from one of the rig's configurations."""

    def __init__(self, kind: str, name: str) -> None:
        """Describe a guest; `create` starts it.

        Args:
            kind: `pv`, `pvh` or `hvm`.
            name: Its name; a new one for each test, as console logs go by name.
        """
        self.kind = kind
        self.name = name
        self.console = CONSOLES / f"guest-{name}.log"

    def create(self, *settings: str) -> None:
        """Start the domain and wait until its memory is filled and changing.

        Args:
            settings: More lines of configuration.
        """
        named = f'name="{self.name}"'
        command = ("xl", "create", CONFIGS / f"{self.kind}.cfg", named, *settings)
        ok(*command)
        if not settled(lambda: len(self.ticks()) > 1, BOOT):
            # Seen under emulation: a kernel that hangs as it boots, before our part.
            warn(f"{self.name} does not boot: once more", stacklevel=2)
            self.destroy()
            ok(*command)
            self.next_ticks(2)

    def restore(self, file: Path) -> None:
        """Have the real xl bring the domain back from a file."""
        ok("xl", "restore", file)

    def come_from_image(self, *settings: str) -> None:
        """Be a copy of the guest of the kind that the rig has booted and saved.

        Args:
            settings: More lines of configuration.
        """
        lines = (CONFIGS / f"{self.kind}.cfg").read_text().splitlines()
        named = f'name="{self.name}"'
        with NamedTemporaryFile("w", suffix=".cfg") as config:
            config.write("\n".join([*lines, named, *settings]) + "\n")
            config.flush()
            command = ("xl", "restore", config.name, CONFIGS / f"booted-{self.kind}")
            ok(*command)
            if not settled(lambda: len(self.ticks()) > 0, SILENCE):
                warn(f"{self.name} does not go on: once more", stacklevel=2)
                self.destroy()
                ok(*command)
                self.next_ticks()

    def console_text(self) -> str:
        """Return all that the console has shown so far."""
        try:
            return self.console.read_text(errors="replace")
        except OSError:
            return ""

    def ticks(self) -> list[Tick]:
        """Return the lines of the console that prove its memory."""
        found = TICK.finditer(self.console_text())
        return [Tick(m[1], int(m[2]), m[3]) for m in found]

    def next_ticks(self, number: int = 1) -> list[Tick]:
        """Wait for lines that are not there yet."""
        seen = len(self.ticks())

        def there() -> bool:
            return len(self.ticks()) >= seen + number

        if not settled(there, SILENCE):
            # Seen under emulation, of xl's own: a guest that sleeps without a timer.
            warn(f"{self.name} is silent: woken by an event", stacklevel=2)
            self.wake()
            if not settled(there, SILENCE):
                raise SilentGuestError(self.name)
        return self.ticks()[seen:]

    def wake(self) -> None:
        """Have an event come to it."""
        run("xl", "sysrq", self.name, "h")

    def running(self) -> bool:
        """Tell whether a domain of this name is there and not suspended or dead."""
        state = domains().get(self.name)
        return state is not None and not set(state) & set("psc")

    def gone(self) -> bool:
        """Tell whether no domain of this name is there."""
        return self.name not in domains()

    def destroy(self) -> None:
        """Remove the domain if it is there, whatever it is called by now."""
        for name in domains():
            if name.startswith(self.name):
                run("xl", "destroy", name)
        wait_for(f"{self.name} to be gone", lambda: self.gone() or None)


def forget_domids() -> None:
    """Have libxenlight, which gives no domid twice within a minute, do so at once."""
    DOMID_HISTORY.unlink(missing_ok=True)


def domid_has_just_ended(domid: int) -> None:
    """Have libxenlight give this domid to nobody for a minute from now."""
    DOMID_HISTORY.write_text(f"{int(time.monotonic())} {domid}\n")


def assert_went_on(before: list[Tick], after: list[Tick]) -> None:
    """Check that the lines after are by the same guest, a moment later."""
    last = before[-1]
    assert [tick.memory for tick in after] == ["ok"] * len(after)
    assert {tick.ident for tick in after} == {last.ident}
    counts = [tick.count for tick in after]
    # The guest may print between our last look and its suspension.
    assert last.count < counts[0]
    assert counts == list(range(counts[0], counts[0] + len(counts)))


def domid_of(guest: Guest) -> int:
    """Return the domid of a guest that is there."""
    return int(ok("xl", "domid", guest.name))


def device_model_of(guest: Guest) -> int:
    """Return the pid of an HVM guest's qemu."""
    wanted = domid_of(guest)
    [pid] = [pid for pid, domid, _ in device_models() if domid == wanted]
    return pid


def has_shadow_paging() -> bool:
    """Tell whether this Xen can log what PV guests write."""
    [line] = [line for line in ok("xl", "info").splitlines() if "virt_caps" in line]
    return "shadow" in line.split()


def in_log_dirty_mode(domid: int) -> bool:
    """Ask the hypervisor, by what it says on its console about each domain."""
    ok("xl", "debug-keys", "q")
    said = ok("xl", "dmesg").rpartition(f"General information for domain {domid}:")[2]
    found = re.search(r"paging assistance: (.*)", said)
    return found is not None and "log_dirty" in found[1]
