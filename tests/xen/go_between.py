"""Between a sender and a receiver: ``ACTION FOLDER RECEIVER...``.

The receiver hears the sender itself; what it says goes through here. Once it has its
copy, and before the sender knows, ACTION is done:

kill-receiver  The receiver is killed; the sender's words arrive nowhere.
swallow        The receiver is killed; the sender's words seem to arrive.
kill-sender    The sender is killed.

FOLDER gets what the receiver says on stderr, and its status.
"""

import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

RECEIVED = b"domain received, ready to unpause\0"
SENDER = b"migrate"


def sender() -> int:
    """Give the pid of the process above us that migrates."""
    pid = os.getpid()
    while True:
        pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
        if SENDER in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0"):
            return pid


def act(action: str, receiver: "subprocess.Popen[bytes]") -> None:
    """Do what was asked for."""
    if action == "kill-sender":
        os.kill(sender(), signal.SIGKILL)
        return
    receiver.kill()
    receiver.wait()
    if action == "kill-receiver":
        os.close(0)


def main() -> None:
    """Pass on what the receiver says, and act."""
    action, folder = sys.argv[1], Path(sys.argv[2])
    with (folder / "said").open("wb") as said:
        receiver = subprocess.Popen(
            sys.argv[3:], stdout=subprocess.PIPE, stderr=said, bufsize=0
        )
    assert receiver.stdout is not None
    seen = b""
    while data := receiver.stdout.read(4096):
        seen += data
        if seen.endswith(RECEIVED):
            act(action, receiver)
        with suppress(BrokenPipeError):
            os.write(1, data)
    if action == "swallow":
        while (heard := os.read(0, 4096)) and not heard.endswith(b"\0"):
            pass
    (folder / "status.new").write_text(str(receiver.wait()))
    (folder / "status.new").rename(folder / "status")


if __name__ == "__main__":
    main()
