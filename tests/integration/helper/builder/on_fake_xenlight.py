"""Drives ``Toolstack`` and ``Monitor`` on the fake libxenlight."""

import os
import sys
from typing import cast

from libxlpy_helper.builder.interfaces import Interfaces
from libxlpy_helper.builder.monitor import Monitor
from libxlpy_helper.xen import xenlight
from libxlpy_helper.xen.xenguest import DomainInfo, Handle
from libxlpy_protocol.enums import StreamType

RUNNING = DomainInfo(9, 32, 1, 1, 1, 0, bytes(16))


class OneDomain:
    """A handle to a hypervisor on which domain 9 runs."""

    def info(self, domid: int) -> DomainInfo:
        return RUNNING


def build(toolstack: xenlight.Toolstack, config: bytes) -> None:
    """As the build helper does."""
    interfaces = Interfaces(toolstack, config, lambda: print("stopped"))
    interfaces.begin()
    try:
        domid = toolstack.create(interfaces.config, 77)
    except xenlight.XenlightError:
        interfaces.undo()
        raise
    interfaces.finish(domid)


def main(library: str, what: str, words: str, xenstore: str) -> None:
    xenlight.SONAME = library  # type: ignore[misc] - a path in place of the soname
    read_fd, write_fd = os.pipe()
    toolstack = xenlight.Toolstack("4.99", write_fd)
    try:
        if what == "monitor":
            handle = cast(Handle, OneDomain())
            Monitor(toolstack, handle, words.encode(), xenstore).run(9)
        elif what == "interfaces":
            build(toolstack, words.encode())
        else:
            state = {
                "restore": (77, StreamType.PLAIN),
                "remus": (77, StreamType.REMUS),
            }.get(what, ())
            print("domid", toolstack.create(words.encode(), *state))
    except xenlight.XenlightError as exc:
        print("error", exc)
    os.close(write_fd)
    os.set_blocking(read_fd, False)
    try:
        for line in xenlight.parse_log(os.read(read_fd, 1 << 20)):
            print(
                "log", line.level, line.errnoval, line.context, line.text[:20], end=""
            )
            print("", len(line.text))
    except BlockingIOError:
        pass


main(*sys.argv[1:])
