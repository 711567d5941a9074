"""The wire to the other virtual machine: a save file goes from Xen 4.17 to 4.20.

The one that restores asks for a file by a line, as it is ready; the answer is a line of
JSON with what is known of the guest, then the file. What goes over the network, the
older one does alone, while the newer one stands by: it has no tests of its own then.
"""

import json
import select
import shutil
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import BinaryIO, cast

from .support import PATIENCE, Tick, ok

#: Of the two Xens.
NEWER = (4, 20)
#: Each VM has its own tests to do before.
RENDEZVOUS = PATIENCE * 3
PIECE = 1 << 20
GOT = "got it"
STANDS_BY, THROUGH = "stands by", "through"


@dataclass(frozen=True)
class Parcel:
    """A saved guest on its way."""

    name: str
    tick: Tick
    size: int


def gives() -> bool:
    """Tell whether guests go from here to the other machine: its Xen is newer."""
    facts = dict(
        line.replace(" ", "").split(":", 1)
        for line in ok("xl", "info").splitlines()
        if ":" in line
    )
    return (int(facts["xen_major"]), int(facts["xen_minor"])) < NEWER


def wire() -> Path:
    """Return the port's device."""
    for port in Path("/sys/class/virtio-ports").glob("*/name"):
        if port.read_text().strip() == "rig.peer":
            return Path("/dev") / port.parent.name
    raise AssertionError("no wire to another VM: run scripts/test --xen, for both")


def open_wire() -> BinaryIO:
    """Open the port for both directions."""
    return cast(BinaryIO, wire().open("r+b", buffering=0))


def read(port: BinaryIO, size: int, deadline: float) -> bytes:
    """Read up to so many bytes; the other machine may take a while."""
    ready = select.select([port], [], [], max(0.0, deadline - time.monotonic()))[0]
    assert ready, "the other VM says nothing"
    data = port.read(size)
    assert data, "the other VM is gone"
    return data


def read_line(port: BinaryIO) -> str:
    """Read up to a line's end, and no more."""
    line, deadline = b"", time.monotonic() + RENDEZVOUS
    while not line.endswith(b"\n"):
        line += read(port, 1, deadline)
    return line.decode().rstrip()


def give(what: str, name: str, tick: Tick, file: Path) -> None:
    """Send a saved guest once it is asked for."""
    parcel = Parcel(name, tick, file.stat().st_size)
    with open_wire() as port:
        assert read_line(port) == what
        port.write(json.dumps(asdict(parcel)).encode() + b"\n")
        with file.open("rb") as source:
            shutil.copyfileobj(source, Whole(port), PIECE)
        assert read_line(port) == GOT  # what is under way is lost with the port


def meet() -> None:
    """Wait until the other machine stands by."""
    with open_wire() as port:
        assert read_line(port) == STANDS_BY


def dismiss() -> None:
    """Let the other machine go on."""
    with open_wire() as port:
        port.write(THROUGH.encode() + b"\n")
        assert read_line(port) == GOT


def stand_by() -> None:
    """Do nothing until the other machine is through."""
    with open_wire() as port:
        port.write(STANDS_BY.encode() + b"\n")
        assert read_line(port) == THROUGH
        port.write(GOT.encode() + b"\n")


class Whole:
    """Writes all of each piece: a port takes what it has room for."""

    def __init__(self, port: BinaryIO) -> None:
        self._port = port

    def write(self, data: bytes) -> int:
        """Write it all."""
        left = memoryview(data)
        while left:
            left = left[self._port.write(left) :]
        return len(data)


def take(what: str, file: Path) -> Parcel:
    """Ask for a saved guest and write its file."""
    with open_wire() as port, file.open("wb") as target:
        port.write(what.encode() + b"\n")
        told = json.loads(read_line(port))
        parcel = Parcel(told["name"], Tick(**told["tick"]), told["size"])
        left, deadline = parcel.size, time.monotonic() + PATIENCE
        while left:
            data = read(port, min(left, PIECE), deadline)
            target.write(data)
            left -= len(data)
        port.write(GOT.encode() + b"\n")
    return parcel
