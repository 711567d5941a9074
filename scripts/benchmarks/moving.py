"""A guest goes from one embedded host to another: migrated, or saved into a restore.

Commands as users type them, from the first one's start to the last one's end. Each
leaves the guest on the other host; the next goes back.
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Self

from measure import Row

from libxlpy.simxen.client import request, start_host, stop_host

XLPY = [sys.executable, "-m", "libxlpy.cli"]
#: In place of ssh: what is said is run here, and `xlpy` is that of a host.
SSH = """#!/bin/sh
shift
PATH={folder}:$PATH
exec sh -c "$*"
"""
GUEST = {"name": "bench", "type": "pv", "fill": True}
#: Of its memory, what a guest writes over and over; and how often in a second: in most
#: passes, which get short, most of it. One write of 16 goes anywhere.
WRITTEN = 0.1
OFTEN = 8


class Moving:
    """Two hosts, and one guest of ``memory`` MiB at a time, on one of them."""

    def __init__(self, folder: Path, memory: int) -> None:
        self._folder = folder
        self._memory = memory
        self._here, self._there = folder / "a", folder / "b"

    def __enter__(self) -> Self:
        for host in (self._here, self._there):
            start_host(host)
            self._lead_to(host)
        return self

    def __exit__(self, *_: object) -> None:
        for host in (self._here, self._there):
            stop_host(host)

    def _lead_to(self, host: Path) -> None:
        """Make what stands for `ssh` to a host."""
        programs = self._folder / f"bin-{host.name}"
        programs.mkdir()
        words = " ".join([*XLPY, "--host", str(host)])
        _executable(programs / "xlpy", f'#!/bin/sh\nexec {words} "$@"\n')
        _executable(self._ssh(host), SSH.format(folder=programs))

    def _ssh(self, host: Path) -> Path:
        return self._folder / f"ssh-{host.name}"

    # ----- what is measured -------------------------------------------------------

    def idle(self, rounds: int) -> Row:
        """Migrate one that writes nothing, next to a save into a restore; seconds."""
        row = Row("live migration of an idle guest", "s", less_is_better=True)
        self._create(rate=0)
        for _ in range(rounds):
            migrated, _told = self._migrate()
            row.add(migrated, self._save_into_restore())
        self._destroy()
        return row

    def writing(self, rounds: int) -> Row:
        """Give what is sent of one of which each pass finds a tenth written; MiB."""
        name = "sent of one that writes a tenth a pass, next to its memory"
        row = Row(name, "MiB", less_is_better=True)
        hot = int((self._memory << 8) * WRITTEN)
        self._create(rate=hot * OFTEN, pattern="hot", hot_pages=hot)
        for _ in range(rounds):
            _seconds, told = self._migrate()
            row.add(told["bytes_written"] / (1 << 20), self._memory)
        self._destroy()
        return row

    # ----- the guest --------------------------------------------------------------

    def _create(self, **wanted: object) -> None:
        request(self._here, "create", memory_mib=self._memory, **GUEST, **wanted)

    def _destroy(self) -> None:
        [domain] = request(self._here, "list")["domains"]
        request(self._here, "destroy", domid=domain["domid"])

    def _migrate(self) -> tuple[float, dict[str, Any]]:
        """Migrate it, live; give seconds, and what the command told at its end."""
        command = [*XLPY, "--host", str(self._here), "migrate", "--json"]
        command += ["-s", str(self._ssh(self._there)), "bench", "there"]
        start = time.perf_counter()
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        seconds = time.perf_counter() - start
        if done.returncode:
            raise RuntimeError(f"the migration has failed:\n{done.stderr}")
        self._here, self._there = self._there, self._here
        return seconds, json.loads(done.stdout.splitlines()[-1])

    def _save_into_restore(self) -> float:
        """Save it into a pipe that a restore reads; give seconds."""
        save = [*XLPY, "--host", str(self._here), "save", "bench", "/dev/stdout"]
        restore = [*XLPY, "--host", str(self._there), "restore", "/dev/stdin"]
        reading, writing = os.pipe2(os.O_CLOEXEC)
        null = subprocess.DEVNULL
        start = time.perf_counter()
        with subprocess.Popen(save, stdout=writing, stderr=null) as saved:
            os.close(writing)
            done = subprocess.run(restore, stdin=reading, stderr=null, check=False)
            os.close(reading)
        seconds = time.perf_counter() - start
        if done.returncode or saved.returncode:
            raise RuntimeError("the save into a restore has failed")
        self._here, self._there = self._there, self._here
        return seconds


def _executable(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(0o755)
