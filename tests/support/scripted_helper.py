"""A helper that says what a test wants: ``scripted_helper.py PROTOCOL_DIR SCRIPT``."""

import ctypes
import os
import signal
import sys
import time
from collections.abc import Callable

sys.path.insert(0, sys.argv[1])

from libxlpy_protocol.enums import Op
from libxlpy_protocol.hello import MIN_VERSION, VERSION
from libxlpy_protocol.messages import (
    Complete,
    DomainOp,
    Hello,
    Log,
    Message,
    OpResult,
    Phase,
    Progress,
    Start,
    Stat,
    Suspend,
)
from libxlpy_protocol.session import Event, HelperSession

FOR_EVER = 3600
PR_SET_PTRACER = 0x59616D61
session = HelperSession()
waiting: list[Event] = []


def write(data: bytes) -> None:
    while data:
        data = data[os.write(1, data) :]


def say(message: Message, call_id: int = 0) -> None:
    write(session.send(message, call_id))


def hear(kind: type[Message]) -> Event:
    """Wait for a message of one kind; leave at EOF."""
    while True:
        while waiting:
            event = waiting.pop(0)
            if isinstance(event.message, kind):
                return event
        data = os.read(0, 65536)
        if not data:
            sys.exit(6)
        session.receive(data)
        waiting.extend(iter(session.next_event, None))


def hello() -> None:
    say(Hello(VERSION, MIN_VERSION, "scripted"))


def begin() -> None:
    hello()
    hear(Start)
    say(Phase("libxc"))
    stat()


def stat(bytes_done: int = 0) -> None:
    say(Stat(time.monotonic_ns(), "libxc", bytes_done, 0, 1, -1, 0, 0, 0, 0))


def complete(retval: int = 0, errnoval: int = 0, *, aborted: bool = False) -> None:
    say(Complete(retval, errnoval, aborted))


def hang() -> None:
    time.sleep(FOR_EVER)


# ----- scripts ----------------------------------------------------------------------


def good() -> None:
    begin()
    say(Progress("xc", "Frames", 1, 2))
    say(Log(8, -1, "xc", "one line"))
    say(Suspend())
    hear(Message)
    stat(4096)
    complete()


def ops() -> None:
    """Answer ops; every second one fails with ESRCH."""
    hello()
    hear(Start)
    while True:
        event = hear(DomainOp)
        assert isinstance(event.message, DomainOp)
        domid = event.message.domid
        if domid % 2:
            say(OpResult(-1, 3), event.call_id)
        else:
            values = (domid, 32, 0, 100, 100, 1, 5, 0)
            say(OpResult(0, 0, values, bytes(16)), event.call_id)


def late_guest() -> None:
    """Answer ops about a guest that suspends some looks later, until it is resumed."""
    hello()
    hear(Start)
    looks = 0
    while True:
        event = hear(DomainOp)
        assert isinstance(event.message, DomainOp)
        match event.message.op:
            case Op.INFO:
                looks += 1
                flags, reason = (4, 2) if looks > 5 else (32, 0)
                values = (7, flags, reason, 100, 100, 1, 5, 0)
                say(OpResult(0, 0, values, bytes(16)), event.call_id)
            case Op.RESUME:
                looks = -100
                say(OpResult(0), event.call_id)
            case _:
                say(OpResult(0), event.call_id)


def no_hello() -> None:
    hang()


def says_why_and_exits() -> None:
    os.write(2, b"some noise\nlibxenctrl.so.4: not found\n")
    sys.exit(3)


def garbage() -> None:
    begin()
    write(b"\0\0\0\x05hello")
    hang()


def garbage_instead_of_hello() -> None:
    write(b"HTTP/1.1 200 OK\r\n\r\n")
    hang()


def huge_frame() -> None:
    begin()
    write(b"\xff\xff\xff\xff")
    hang()


def half_frame() -> None:
    begin()
    write(session.send(Log(5, -1, "xc", "cut"))[:7])


def stray_call() -> None:
    """A call the parent did not offer."""
    begin()
    write(bytes.fromhex("00000003") + bytes([0x92, 4, 1]))
    hang()


def double_complete() -> None:
    begin()
    frame = session.send(Complete(0, 0, False))
    write(frame + frame)
    hang()


def eof_only() -> None:
    begin()
    os.close(1)
    hang()


def exits_early() -> None:
    begin()
    sys.exit(29)


def dies() -> None:
    begin()
    os.kill(os.getpid(), signal.SIGSEGV)


def dies_but_its_pipe_lives() -> None:
    """Leave a child behind that holds the pipe until it reads EOF."""
    begin()
    if os.fork():
        os.kill(os.getpid(), signal.SIGKILL)
    while os.read(0, 4096):
        pass


def stopped() -> None:
    begin()
    os.kill(os.getpid(), signal.SIGSTOP)


def silent() -> None:
    begin()
    hang()


def alive_but_stuck() -> None:
    begin()
    while True:
        stat()
        time.sleep(0.02)


def deaf() -> None:
    """Hears neither abort nor SIGTERM; anybody may trace it."""
    ctypes.CDLL(None).prctl(PR_SET_PTRACER, ctypes.c_ulong(-1), 0, 0, 0)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    alive_but_stuck()


def does_not_converge() -> None:
    begin()
    for number, pages in enumerate((100, 50, 60, 60)):
        say(Progress("xc", f"Frames iteration {number}", 0, pages))
        say(Progress("xc", f"Frames iteration {number}", pages, pages))
    say(Log(8, -1, "xc", "all said"))
    hear(Message)
    complete(-1, 125, aborted=True)


def last_passes_are_alike() -> None:
    """As a helper that was slow to write: of each pass only the end is told."""
    begin()
    for number, pages in enumerate((2048, 13)):
        say(Progress("xc", f"Frames iteration {number}", pages, pages))
    say(Suspend())
    hear(Message)
    say(Progress("xc", "Frames iteration 1", 13, 13))
    complete()


def flushes() -> None:
    begin()
    say(Phase("flush"))
    while True:
        stat()
        time.sleep(0.02)


def stays_after_complete() -> None:
    begin()
    complete()
    hang()


def bad_status() -> None:
    begin()
    complete()
    sys.exit(5)


def xen_fails() -> None:
    begin()
    say(Log(8, -1, "xc", "Failed to enable logdirty: 22 Invalid argument"))
    say(Log(8, -1, "xc", "Save failed"))
    complete(-1, 22)


def disk_full() -> None:
    begin()
    complete(-1, 28)


def told_by_signal() -> None:
    begin()
    complete(-1, 125, aborted=True)


def aborts_well() -> None:
    begin()
    hear(Message)
    complete(-1, 125, aborted=True)


def abort_crosses_success() -> None:
    begin()
    hear(Message)
    complete(0, 0)


def asks() -> None:
    """Ask for a suspend; complete with what was answered."""
    begin()
    say(Suspend())
    value = hear(Message).message
    failed = getattr(value, "value", 0) != 1
    complete(-1 if failed else 0, 22 if failed else 0)


def asks_and_waits() -> None:
    begin()
    say(Suspend())
    hear(Message)
    complete(-1, 125, aborted=True)


def asks_and_dies() -> None:
    begin()
    say(Suspend())
    os.kill(os.getpid(), signal.SIGKILL)


def floods() -> None:
    begin()
    stat()
    frame = session.send(Log(5, -1, "xc", "x" * 1000))
    for _ in range(2048):
        write(frame)
    complete()


def floods_stderr() -> None:
    begin()
    for number in range(20000):
        os.write(2, b"line %d of what nobody reads\n" % number)
    complete()


SCRIPTS: dict[str, Callable[[], None]] = {
    name: value
    for name, value in list(globals().items())
    if callable(value) and getattr(value, "__module__", "") == "__main__"
}

if __name__ == "__main__":
    SCRIPTS[sys.argv[2]]()
