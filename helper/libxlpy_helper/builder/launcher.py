"""A program file for libxlpy-save-helper, wherever the packages are.

libxl takes a path and nothing else; a console script may not be there, or name another
Python. So the program is a file in memory, for this process and its children.

Its stream, and where it acknowledges epochs, it gets out of a socket, once. Inherited,
the stream would also be qemu's, for as long as that runs: the other end of a migration
would never see that we are gone.
"""

import os
import socket
import sys
from typing import Final

from libxlpy_helper.launch import folders

SCRIPT: Final = """#!{python} -IS
import sys
sys.path += {folders!r}
from libxlpy_helper.builder.launcher import take
from libxlpy_helper.dropin.main import main
main(*take({socket_fd}), claim_pages={claim_pages})
"""


def save_helper_path(source: int, *acks: int, claim_pages: int = 0) -> str:
    """Return the path by which this process's children can start it, one of them.

    Args:
        source: The stream that it reads; no child inherits it any more.
        acks: Where it acknowledges epochs, if it does; as the stream.
        claim_pages: It has so many set aside for the domain first.
    """
    ours, theirs = socket.socketpair()
    with ours:
        socket.send_fds(ours, [b"\0"], [source, *acks])
    for each in (source, *acks):
        os.set_inheritable(each, False)
    theirs.set_inheritable(True)
    script = SCRIPT.format(
        python=sys.executable,
        folders=folders(),
        socket_fd=theirs.detach(),
        claim_pages=claim_pages,
    )
    fd = os.memfd_create("libxlpy-save-helper", 0)  # inherited, as the name is by fd
    os.write(fd, script.encode())
    return f"/proc/self/fd/{fd}"


def take(socket_fd: int) -> list[int]:
    """Return the descriptors that are in a socket, which is closed."""
    with socket.socket(fileno=socket_fd) as theirs:
        _, fds, _, _ = socket.recv_fds(theirs, 1, 2)
    return fds
