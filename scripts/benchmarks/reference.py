"""What ours is compared with: C in libxenguest's layout, bare Python, bare pipes."""

import asyncio
import fcntl
import json
import os
import subprocess
import sys
import time
from pathlib import Path

from lag import worst_lag

SOURCE = Path(__file__).with_name("libxc_layout.c")
PIPE_SIZE = 1 << 20
F_SETPIPE_SZ = 1031
ROUND_TRIP = Path(__file__).with_name("round_trip.c")
ECHOES = 2000


class Reference:
    """The C reference, built in ``folder``, moving ``memory`` MiB."""

    def __init__(self, folder: Path, memory: int) -> None:
        self.program = compiled(SOURCE, folder)
        self.image = folder / "reference.img"
        self._memory = str(memory)
        self._round_trip = compiled(ROUND_TRIP, folder)

    def _speed(self, line: bytes) -> float:
        answer = json.loads(line)
        return float(answer["bytes"]) / answer["seconds"] / 1e6

    def _run(self, what: str, fd: int) -> float:
        argv = [self.program, what, str(fd), self._memory]
        done = subprocess.run(argv, pass_fds=[fd], stdout=subprocess.PIPE, check=True)
        return self._speed(done.stdout)

    # ----- save, MB/s -------------------------------------------------------------

    def save_to(self, path: Path) -> float:
        """Write to a file."""
        with path.open("wb") as file:
            return self._run("save", file.fileno())

    def save_to_pipe(self) -> float:
        """Write to a pipe with a reader."""
        with Drain(self.program) as fd:
            return self._run("save", fd)

    # ----- restore, MB/s ----------------------------------------------------------

    def restore_from(self, path: Path) -> float:
        """Read a file into fresh memory."""
        with path.open("rb") as file:
            return self._run("restore", file.fileno())

    def restore_from_pipe(self, path: Path) -> float:
        """Read a pipe into fresh memory."""
        with Feed(path, 0) as fd:
            return self._run("restore", fd)

    def restore_from_save(self) -> float:
        """Read what the reference's own save writes at the same time."""
        reading, writing = big_pipe()
        argv = [self.program, "save", str(writing), self._memory]
        null = subprocess.DEVNULL
        with subprocess.Popen(argv, pass_fds=[writing], stdout=null):
            os.close(writing)
            speed = self._run("restore", reading)
        os.close(reading)
        return speed

    # ----- the rest ---------------------------------------------------------------

    async def idle_lag(self) -> float:
        """Give an idle loop's worst lag beside a save to a pipe, milliseconds."""
        return await worst_lag(asyncio.to_thread(self.save_to_pipe))

    def memcpy(self) -> float:
        """Copy memory that is all mapped and touched, MB/s."""
        argv = [self.program, "memcpy", self._memory]
        return self._speed(subprocess.run(argv, capture_output=True, check=True).stdout)

    def python_start(self) -> float:
        """Start and end an isolated Python that imports nothing, milliseconds."""
        start = time.perf_counter()
        subprocess.run([sys.executable, "-I", "-S", "-c", "pass"], check=True)
        return (time.perf_counter() - start) * 1e3

    def echo(self, *how: str) -> float:
        """Round trip of 16 bytes over two pipes, in C, microseconds.

        Args:
            how: "together": on one processor, not two.
        """
        argv = [self._round_trip, str(ECHOES), *how]
        return float(subprocess.run(argv, capture_output=True, check=True).stdout)


def compiled(source: Path, folder: Path) -> str:
    """Compile a program of one file; give its path."""
    program = str(folder / source.stem)
    flags = ["-std=gnu11", "-O2", "-Wall", "-Wextra", "-Werror"]
    compiler = os.environ.get("CC", "cc")
    subprocess.run([compiler, *flags, "-o", program, source], check=True)
    return program


def big_pipe() -> tuple[int, int]:
    """Make a pipe of a size that all who are compared here get."""
    reading, writing = os.pipe2(os.O_CLOEXEC)
    fcntl.fcntl(writing, F_SETPIPE_SZ, PIPE_SIZE)
    return reading, writing


class Drain:
    """A process that reads a pipe and does nothing with it; gives the write end."""

    def __init__(self, program: str) -> None:
        reading, self._writing = big_pipe()
        argv = [program, "drain", str(reading)]
        null = subprocess.DEVNULL
        self._process = subprocess.Popen(argv, pass_fds=[reading], stdout=null)
        os.close(reading)

    def __enter__(self) -> int:
        return self._writing

    def __exit__(self, *_: object) -> None:
        os.close(self._writing)
        self._process.wait()


class Feed:
    """A process that writes a file to a pipe without copying; gives the read end."""

    def __init__(self, path: Path, offset: int) -> None:
        self._reading, writing = big_pipe()
        code = (
            "import os, sys\n"
            "path, offset, fd = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])\n"
            "file = os.open(path, os.O_RDONLY)\n"
            "os.lseek(file, offset, os.SEEK_SET)\n"
            "while os.splice(file, fd, 1 << 20): pass\n"
        )
        argv = [sys.executable, "-I", "-S", "-c", code]
        argv += [str(path), str(offset), str(writing)]
        self._process = subprocess.Popen(argv, pass_fds=[writing])
        os.close(writing)

    def __enter__(self) -> int:
        return self._reading

    def __exit__(self, *_: object) -> None:
        os.close(self._reading)
        self._process.wait()
