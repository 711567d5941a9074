"""``python -m libxlpy.simxen DIR``: run a host until it is told to stop.

With ``--background FD`` the process that was started ends at once, and FD gets
``ready`` or one line that says why not. A client uses that; people need not.
"""

import argparse
import asyncio
import os
import sys
from pathlib import Path

from libxlpy.aio import check_room_for_loop
from libxlpy.errors import BackendError, reason_of
from libxlpy.simxen.directory import READY
from libxlpy.simxen.errors import SimxenError
from libxlpy.simxen.host import serve
from libxlpy_protocol.fields import readable


def main() -> int:
    """Run a host; gives the exit status."""
    options = _parse_arguments()
    os.umask(0o077)
    if options.background is not None and os.fork():
        return 0
    try:
        check_room_for_loop()
        asyncio.run(_serve(options))
    except (BackendError, SimxenError) as exc:
        _say(options.background, _line(f"{exc}"))
        return 1
    except OSError as exc:
        _say(options.background, _line(f"the host can't start: {reason_of(exc)}"))
        return 1
    return 0


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m libxlpy.simxen", description="Run a simxen host."
    )
    parser.add_argument("directory", type=Path, help="where its sockets are made")
    parser.add_argument("--memory", type=int, metavar="MIB", help="of all its domains")
    parser.add_argument("--background", type=int, metavar="FD", help=argparse.SUPPRESS)
    return parser.parse_args()


async def _serve(options: argparse.Namespace) -> None:
    ready = asyncio.get_running_loop().create_future()
    ready_fd: int | None = options.background
    if ready_fd is not None:
        ready.add_done_callback(lambda _: _say(ready_fd, READY))
    await serve(options.directory.absolute(), ready, options.memory)


def _line(text: str) -> bytes:
    return f"{readable(text)}\n".encode(errors="backslashreplace")


def _say(fd: int | None, line: bytes) -> None:
    """Tell the starter, who may be gone, or whoever reads our stderr."""
    if fd is None:
        sys.stderr.write(line.decode())
        return
    try:
        os.write(fd, line)
    except BrokenPipeError:
        return
    os.close(fd)


if __name__ == "__main__":
    sys.exit(main())
