"""`xl` and `xlpy` in turn, on the same guest of the same host: what each takes.

Runs in dom0: `python3 -m tests.xen.played ROUNDS [WHAT...]`; `scripts/bench --xen`
makes a table of what it prints, one JSON a line. The programs are the installed ones.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from libxlpy_helper.options import Options
from libxlpy_helper.xen.library import open_library
from libxlpy_protocol.xen import DOMINF_PAUSED, DOMINF_SHUTDOWN

from .migrating import OURS, TARGET, XL, fake_ssh, known, moved
from .restoring import have_interfaces
from .support import CONFIGS, Guest, domid_of, ok, wait_for

#: What both ends of a comparison begin from: Python with what `xlpy` is made of.
PYTHON = "python"
IMPORTS = {"list": "asyncio, click", "": "asyncio, click, msgpack, cffi"}
TOOLS = (XL, OURS, PYTHON)
KINDS = ("pv", "pvh", "hvm")
BRIDGE = "rigbr0"
#: A migration of each: kind, and what is added to its configuration.
MOVED = {
    "migrate pvh": ("pvh", ()),
    "migrate pvh with interface": (
        "pvh",
        (f'vif=["mac=00:16:3e:01:02:05,bridge={BRIDGE}"]',),
    ),
    "migrate hvm": ("hvm", ()),
}
#: Seconds between two looks at the hypervisor.
LOOK = 0.02
LIMIT = 900.0


class Downtime(threading.Thread):
    """From when the hypervisor has a guest suspended until it has it run elsewhere.

    It looks from outside, at any tool alike.
    """

    def __init__(self, guest: Guest) -> None:
        super().__init__(daemon=True)
        self._handle = open_library(Options(os.getpid(), "xen", "", "")).open()
        self._domid = domid_of(guest)
        self._uuid = bytes.fromhex(known()[guest.name].uuid.replace("-", ""))
        self._done = threading.Event()
        self._suspended = self._runs = 0.0

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self.join()
        self._handle.close()

    @property
    def seconds(self) -> float:
        """Give it, once the migration has ended."""
        assert 0 < self._suspended < self._runs, "nobody saw it suspended, then run"
        return self._runs - self._suspended

    def run(self) -> None:
        """Look until both were seen."""
        while not self._runs and not self._done.wait(LOOK):
            self._look()

    def _look(self) -> None:
        now, first = time.monotonic(), 1
        while (info := self._handle.info(first)) is not None:
            first = info.domid + 1
            if info.uuid != self._uuid:
                continue
            if info.domid == self._domid:
                if info.flags & DOMINF_SHUTDOWN and not self._suspended:
                    self._suspended = now
            elif self._suspended and not info.flags & (DOMINF_PAUSED | DOMINF_SHUTDOWN):
                self._runs = now


def timed(*words: str | Path) -> dict[str, float]:
    """Run a program that must succeed; give seconds, and those of its processors."""
    with tempfile.TemporaryFile("w+") as said:  # whoever it leaves may hold it open
        start = time.monotonic()
        process = subprocess.Popen(
            list(map(str, words)),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=said,
        )
        killer = threading.Timer(LIMIT, process.kill)
        killer.start()
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.monotonic() - start
        killer.cancel()
        process.returncode = os.waitstatus_to_exitcode(status)
        said.seek(0)
        assert not process.returncode, f"{words}: {process.returncode}: {said.read()}"
    return {"seconds": seconds, "cpu": usage.ru_utime + usage.ru_stime}


def python(what: str) -> dict[str, float]:
    """Start Python with what a command needs at least."""
    return timed("python3", "-c", f"import {IMPORTS.get(what, IMPORTS[''])}")


def tell(what: str, tool: str, **facts: Any) -> None:
    """Print what was seen of one."""
    print(json.dumps({"what": what, "tool": tool, **facts}), flush=True)


def in_turn(number: int) -> Sequence[str]:
    """Give the tools in the order of a round: neither always finds what one left."""
    return TOOLS if number % 2 else (OURS, XL, PYTHON)


# -- what is played --------------------------------------------------------------------


def play(rounds: int, what: str, act: Callable[[str], dict[str, float]]) -> None:
    """Have each tool do something in each round.

    Args:
        rounds: How often; once more before, so that all programs have been read.
        what: It, for the reader.
        act: Has one tool do it once; gives what it took.
    """
    for tool in (XL, OURS):
        act(tool)
    for number in range(rounds):
        for tool in in_turn(number):
            tell(what, tool, **(python(what) if tool == PYTHON else act(tool)))


def play_list(rounds: int) -> None:
    """List the domains."""
    with guest_of("pvh"):
        play(rounds, "list", lambda tool: timed(tool, "list"))


def play_files(rounds: int, kind: str) -> None:
    """Save a guest, and leave it running; then restore it, and leave it paused."""
    folder = Path(tempfile.mkdtemp())
    file = folder / "saved"
    try:
        with guest_of(kind) as guest:

            def save(tool: str) -> dict[str, float]:
                facts = timed(tool, "save", "-c", guest.name, file)
                file.unlink()
                guest.next_ticks()
                return facts

            def restore(tool: str) -> dict[str, float]:
                facts = timed(tool, "restore", "-p", file)
                ok("xl", "destroy", guest.name)
                wait_for(f"{guest.name} to be gone", lambda: guest.gone() or None)
                return facts

            play(rounds, f"save -c {kind}", save)
            ok("xl", "save", guest.name, file)
            play(rounds, f"restore -p {kind}", restore)
    finally:
        shutil.rmtree(folder)


def play_migrations(rounds: int, what: str) -> None:
    """Migrate a guest to where it is."""
    kind, settings = MOVED[what]
    with fake_ssh() as ssh, guest_of(kind, *settings) as guest:

        def migrate(tool: str) -> dict[str, float]:
            with moved(guest), Downtime(guest) as downtime:
                facts = timed(tool, "migrate", "-s", ssh, guest.name, TARGET)
            return {**facts, "downtime": downtime.seconds}

        play(rounds, what, migrate)


@contextmanager
def guest_of(kind: str, *settings: str) -> Iterator[Guest]:
    """Have a guest that was booted in the image."""
    guest = Guest(kind, f"played-{kind}-{time.monotonic_ns()}")
    try:
        guest.come_from_image(*settings)
        yield guest
    finally:
        guest.destroy()


def have_bridge() -> None:
    """Have what an interface is put on."""
    have_interfaces()
    ok("modprobe", "bridge")
    ok("ip", "link", "add", BRIDGE, "type", "bridge")
    ok("ip", "link", "set", BRIDGE, "up")


PLAYED: dict[str, Callable[[int], None]] = {
    "list": play_list,
    **{what: lambda rounds, what=what: play_migrations(rounds, what) for what in MOVED},
    **{
        f"files {kind}": lambda rounds, kind=kind: play_files(rounds, kind)
        for kind in KINDS
        if (CONFIGS / f"booted-{kind}").exists()
    },
}


def main() -> int:
    """Play all, or what is named."""
    rounds, *wanted = sys.argv[1:]
    if unknown := ", ".join(sorted({*wanted} - {*PLAYED})):
        sys.exit(f"nothing is called {unknown}: there are {', '.join(PLAYED)}")
    ok("xl", "sched-credit2", "-d", "0", "-w", "4096")
    have_bridge()
    for what, action in PLAYED.items():
        if not wanted or what in wanted:
            action(int(rounds))
    return 0


if __name__ == "__main__":
    sys.exit(main())
