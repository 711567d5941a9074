"""The same faults on the real `xl` and on `xlpy`: what each does to guest and file.

Runs in dom0; `scripts/compare` makes a table of what it prints, one JSON a line.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from .following import unread_pipe
from .restoring import StuckPipe
from .support import (
    HELPERS,
    Guest,
    command_lines,
    domains,
    in_log_dirty_mode,
    ok,
    run,
    settled,
    wait_for,
)

TOOLS = ("xl", "xlpy")
PROGRAMS = (*HELPERS, "libxlpy_helper.builder.main")
OLD = b"an older save of it"
#: Seconds: a tool that has not ended then is said to hang; it is killed.
HANG = 150.0
#: Seconds in which a guest shows that it goes on, and processes end.
SETTLE = 30.0


@dataclass
class Scene:
    """A guest, a folder, and a tool that is about to save or restore."""

    tool: str
    guest: Guest
    folder: Path
    process: "subprocess.Popen[bytes] | None" = None
    facts: dict[str, str] = field(default_factory=dict)

    @property
    def file(self) -> Path:
        """Where it saves to."""
        return self.folder / "saved"

    def start(self, *arguments: str | Path) -> None:
        """Start the tool, as a shell would: in a process group of its own."""
        self.process = subprocess.Popen(
            [self.tool, *map(str, arguments)],
            stdin=subprocess.DEVNULL,
            # No pipe: what is left of a tool would hold it open.
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            process_group=0,
        )

    def end(self) -> None:
        """Wait until the tool has ended and take how it did."""
        assert self.process is not None
        try:
            self.process.wait(HANG)
            self.facts["exit status"] = str(self.process.returncode)
        except subprocess.TimeoutExpired:
            self.facts["exit status"] = f"none: hangs for {HANG:.0f} s"
            self.kill_all()

    def kill_all(self) -> None:
        """End the tool and all its processes."""
        if self.process is None:
            return
        for pid in [self.process.pid, *helper_pids()]:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait()

    def until_suspended(self) -> None:
        """Wait until the guest is suspended; its pipe is full by then."""
        name = self.guest.name
        wait_for("the suspended guest", lambda: "s" in states(name) or None)


def states(name: str) -> str:
    """Return the state letters of a domain, also while a restore names it otherwise."""
    return "".join(state for each, state in domains().items() if each.startswith(name))


def helper_pids() -> list[int]:
    """Return the pids of the helpers of either tool."""
    return [
        pid
        for pid, words in command_lines()
        if any(word.rpartition("/")[2] in PROGRAMS for word in words)
    ]


# -- the faults ------------------------------------------------------------------------


@contextmanager
def suspended(scene: Scene) -> Iterator[None]:
    """Save into a pipe that nobody reads, until the guest is suspended."""
    pipe = scene.folder / "pipe"
    with unread_pipe(pipe):
        scene.start("save", scene.guest.name, pipe)
        scene.until_suspended()
        yield
        scene.end()


def ctrl_c(scene: Scene) -> None:
    """Ctrl-C while the guest is suspended."""
    with suspended(scene):
        assert scene.process is not None
        os.killpg(scene.process.pid, signal.SIGINT)


def tool_killed(scene: Scene) -> None:
    """The tool is killed while the guest is suspended."""
    with suspended(scene):
        assert scene.process is not None
        scene.process.kill()


def helper_killed(scene: Scene) -> None:
    """The helper is killed while the guest is suspended."""
    with suspended(scene):
        os.kill(helper_pids()[-1], signal.SIGKILL)


def helper_stopped(scene: Scene) -> None:
    """The helper does not go on (SIGSTOP) while the guest is suspended."""
    with suspended(scene):
        os.kill(helper_pids()[-1], signal.SIGSTOP)


def guest_destroyed(scene: Scene) -> None:
    """The guest is destroyed while it is copied."""
    with suspended(scene):
        ok("xl", "destroy", scene.guest.name)


def second_save(scene: Scene) -> None:
    """A second save of it while the first goes on: status of the second."""
    with suspended(scene):
        second = run(scene.tool, "save", scene.guest.name, scene.folder / "second")
        (scene.folder / "second").unlink(missing_ok=True)
        assert scene.process is not None
        os.killpg(scene.process.pid, signal.SIGINT)
    scene.facts["exit status"] = str(second.returncode)


def disk_full(scene: Scene) -> None:
    """The disk fills up, an older save is in the file."""
    ok("mount", "-t", "tmpfs", "-o", "size=16m", "small", scene.folder)
    scene.file.write_bytes(OLD)
    scene.start("save", scene.guest.name, scene.file)
    scene.end()


def guest_crashed(scene: Scene) -> None:
    """The guest's kernel panics before the save, an older save is in the file."""
    scene.file.write_bytes(OLD)
    ok("xl", "sysrq", scene.guest.name, "c")
    console = scene.guest.console_text
    wait_for("its panic", lambda: "Kernel panic" in console() or None)
    scene.start("save", scene.guest.name, scene.file)
    scene.end()


def cut_file(scene: Scene) -> None:
    """A file that is cut in the middle is restored."""
    ok("xl", "save", scene.guest.name, scene.file)
    os.truncate(scene.file, scene.file.stat().st_size // 2)
    scene.start("restore", scene.file)
    scene.end()


@contextmanager
def half_restored(scene: Scene) -> Iterator[None]:
    """Restore from a pipe that gives half of a file, until all that was read."""
    ok("xl", "save", scene.guest.name, scene.file)
    with StuckPipe(scene.file) as pipe:
        scene.start("restore", pipe.path)
        pipe.wait_read()
        yield
        scene.end()


def restore_killed(scene: Scene) -> None:
    """The tool is killed in the middle of a restore."""
    with half_restored(scene):
        assert scene.process is not None
        scene.process.kill()


def restore_helper_killed(scene: Scene) -> None:
    """The helper is killed in the middle of a restore."""
    with half_restored(scene):
        os.kill(helper_pids()[-1], signal.SIGKILL)


FAULTS: tuple[Callable[[Scene], None], ...] = (
    ctrl_c,
    tool_killed,
    helper_killed,
    helper_stopped,
    guest_destroyed,
    second_save,
    disk_full,
    guest_crashed,
    cut_file,
    restore_killed,
    restore_helper_killed,
)

# -- what is seen afterwards -----------------------------------------------------------


def guest_now(guest: Guest) -> str:
    """Say where the guest is."""
    seen = len(guest.ticks())
    if not settled(lambda: len(guest.ticks()) > seen or not states(guest.name), SETTLE):
        letters = states(guest.name)
        if "s" in letters:
            return "SUSPENDED"
        return "half-built" if "p" in letters else "there, silent"
    return "runs on" if states(guest.name) else "gone"


def file_now(file: Path, before: bytes) -> str:
    """Say what is in the file."""
    if not file.exists():
        return "none"
    if before == OLD:
        return "old one kept" if file.read_bytes() == OLD else "old one DESTROYED"
    return "kept"


def left_over(scene: Scene) -> str:
    """Say what is left behind."""
    left = []
    if not settled(lambda: not helper_pids(), SETTLE):
        left.append("a helper")
    if states(scene.guest.name) and in_log_dirty_mode(
        int(
            ok(
                "xl",
                "domid",
                next(n for n in domains() if n.startswith(scene.guest.name)),
            )
        )
    ):
        left.append("log-dirty mode")
    known = {"saved", "pipe"}
    left += [path.name for path in scene.folder.iterdir() if path.name not in known]
    return ", ".join(left) or "nothing"


def play(fault: Callable[[Scene], None], tool: str, number: int) -> dict[str, str]:
    """Let a fault happen to one tool and return what was seen."""
    guest = Guest("pvh", f"{tool}-{number}")
    guest.create('extra="console=hvc0 quiet sysrq_always_enabled"')
    scene = Scene(tool, guest, Path(tempfile.mkdtemp()))
    try:
        fault(scene)
        scene.facts["guest"] = guest_now(guest)
        old = OLD if fault in (disk_full, guest_crashed) else b""
        scene.facts["file"] = file_now(scene.file, old)
        scene.facts["left over"] = left_over(scene)
    finally:
        scene.kill_all()
        guest.destroy()
        run("umount", scene.folder)
        run("rm", "-r", scene.folder)
    return scene.facts


def title(fault: Callable[[Scene], None]) -> str:
    """Say in a line what happens."""
    return (fault.__doc__ or "").rstrip(".")


def main() -> int:
    """Play all faults, or those named."""
    wanted = set(sys.argv[1:])
    ok("xl", "sched-credit2", "-d", "0", "-w", "4096")
    for number, fault in enumerate(FAULTS):
        if wanted and fault.__name__ not in wanted:
            continue
        for tool in TOOLS:
            try:
                facts = play(fault, tool, number)
            except (AssertionError, OSError, IndexError) as error:
                facts = {"error": f"{type(error).__name__}: {error}"}
            row = {"fault": fault.__name__, "title": title(fault), "tool": tool}
            row |= facts
            print(json.dumps(row), flush=True)
            for pid in helper_pids():  # what a tool leaves must not meet the next one
                os.kill(pid, signal.SIGKILL)
    return 0


if __name__ == "__main__":
    sys.exit(main())
