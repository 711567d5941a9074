"""Programs started as libxl-save-helper that are none: ``liars.py LIE ARGV...``.

They know libxl's wire by themselves, not by our codec.
"""

import ctypes
import os
import signal
import struct
import sys
import time
from pathlib import Path

LOG, PROGRESS, SUSPEND, LOGDIRTY, COMPLETE = 1, 2, 3, 7, 10
PR_GET_PDEATHSIG = 2
FOR_EVER = 3600
stream_fd, back_fd, domid = (int(word) for word in sys.argv[3:6])


def write(data: bytes) -> None:
    while data:
        data = data[os.write(1, data) :]


def body(number: int, *arguments: bytes) -> bytes:
    return struct.pack("=H", number) + b"".join(arguments)


def say(number: int, *arguments: bytes) -> None:
    data = body(number, *arguments)
    write(struct.pack("=H", len(data)) + data)


def ints(*values: int) -> bytes:
    return struct.pack(f"={len(values)}i", *values)


def text(words: str) -> bytes:
    data = words.encode() + b"\0"
    return struct.pack("=I", len(data)) + data


def log(words: str, level: int = 5) -> None:
    say(LOG, ints(level, -1), text("xc"), text(words))


def hear() -> int:
    data = os.read(0, 4)
    if len(data) != 4:
        sys.exit(-2 & 0xFF)
    return int(struct.unpack("=i", data)[0])


def complete(retval: int = 0, errnoval: int = 0) -> None:
    say(COMPLETE, ints(retval, errnoval))
    hear()


def suspend() -> None:
    say(SUSPEND)
    assert hear() == 1


def hang() -> None:
    time.sleep(FOR_EVER)


# ----- lies -------------------------------------------------------------------------


def half_a_length() -> None:
    write(b"\x10")
    hang()


def half_a_message() -> None:
    write(struct.pack("=H", 40) + body(LOG, ints(5)))
    hang()


def half_a_message_then_eof() -> None:
    write(struct.pack("=H", 40) + body(LOG, ints(5)))
    os.close(1)
    hang()


def largest_length_and_nothing() -> None:
    write(b"\xff\xff")
    hang()


def never_ending_message() -> None:
    write(b"\xff\xff" + body(LOG, ints(5, -1), text("xc"), b"\xe0\xff\0\0"))
    while True:
        write(b"x")
        time.sleep(0.01)


def unknown_number() -> None:
    say(11, ints(1))
    hang()


def callback_not_offered() -> None:
    say(5)
    hang()


def empty_body() -> None:
    write(b"\0\0")
    hang()


def text_without_nul() -> None:
    say(LOG, ints(5, -1), text("xc"), struct.pack("=I", 2) + b"no")
    hang()


def second_question_before_the_answer() -> None:
    say(SUSPEND)
    say(SUSPEND)
    hang()


def malformed_complete() -> None:
    say(COMPLETE, ints(0))
    hang()


def complete_twice() -> None:
    complete()
    complete()
    hang()


def floods_logs() -> None:
    while True:
        log("x" * 1000)


def floods_both_pipes() -> None:
    while True:
        log("x" * 1000)
        os.write(2, b"x" * 1000 + b"\n")


def says_nothing() -> None:
    hang()


def silent() -> None:
    log("starting save")
    hang()


def deaf() -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    silent()


def exits_with_an_error_logged() -> None:
    log("xc_interface_open failed", 8)
    sys.exit(255)


def exits_without_a_word() -> None:
    sys.exit(0)


def exits_with_a_reason() -> None:
    os.write(2, b"some noise\nassertion failed\n")
    sys.exit(255)


def exits_with_a_long_reason() -> None:
    os.write(2, b"begin " + b"x" * 8000 + b" end\n")
    sys.exit(255)


def dies() -> None:
    os.kill(os.getpid(), signal.SIGSEGV)


def fails() -> None:
    log("Failed to map domain memory", 8)
    log("Save failed", 8)
    complete(-1, 22)


def disk_full() -> None:
    complete(-1, 28)


def completes_and_stays() -> None:
    complete()
    hang()


def completes_and_crashes() -> None:
    complete()
    sys.exit(3)


def closes_its_pipe_and_stays() -> None:
    os.close(1)
    hang()


def dies_with_the_guest_suspended() -> None:
    suspend()
    os.kill(os.getpid(), signal.SIGKILL)


def half_a_message_with_the_guest_suspended() -> None:
    suspend()
    half_a_message()


def fails_with_the_guest_suspended() -> None:
    suspend()
    complete(-1, 5)


def claims_what_it_never_asked_for() -> None:
    complete()


def claims_what_it_never_wrote() -> None:
    suspend()
    complete()


def claims_what_it_wrote_half() -> None:
    suspend()
    os.write(stream_fd, bytes(4096))
    complete()


def dies_while_it_asks() -> None:
    say(SUSPEND)
    os.kill(os.getpid(), signal.SIGKILL)


def dies_with_qemu_logging() -> None:
    say(LOGDIRTY, ints(domid, 1))
    hear()
    os.kill(os.getpid(), signal.SIGKILL)


# ----- no lies ----------------------------------------------------------------------


def logs_when_it_is_done() -> None:
    """As Xen's libraries do when they are closed."""
    suspend()
    complete()
    log("total allocations:15 total releases:15", 1)


def tells_its_state() -> None:
    """Say how it was started, then complete."""
    ignored = next(
        line.split()[1]
        for line in Path("/proc/self/status").read_text().splitlines()
        if line.startswith("SigIgn")
    )
    death = ctypes.c_int()
    ctypes.CDLL(None).prctl(PR_GET_PDEATHSIG, ctypes.byref(death), 0, 0, 0)
    log(f"ignored {int(ignored, 16) >> (signal.SIGPIPE - 1) & 1}")
    log(f"death {death.value}")
    log(f"argv {' '.join(sys.argv[2:])}")
    fds = sorted(int(path.name) for path in Path("/proc/self/fd").iterdir())
    log(f"fds {[fd for fd in fds if fd not in (0, 1, 2) and is_open(fd)]}")
    log(f"environment {sorted(os.environ)}")
    suspend()
    complete()


def is_open(fd: int) -> bool:
    try:
        os.fstat(fd)
    except OSError:
        return False
    return True


def waits_for_the_pipe() -> None:
    """Write 8 MiB to a stream that nobody reads for a while."""
    log("starting save")
    data = bytes(1 << 20)
    for _ in range(8):
        view = memoryview(data)
        while view:
            view = view[os.write(stream_fd, view) :]
    suspend()
    complete()


if __name__ == "__main__":
    globals()[sys.argv[1]]()
