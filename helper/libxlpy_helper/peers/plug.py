"""What a protection holds back of what its guest sends, let go, in order.

The parent made it (``libxlpy.domain.plug``), and takes it down; it stays in the way if
the parent has died, and lets all pass once it was told so here.

Linux: include/uapi/linux/pkt_sched.h, struct tc_plug_qopt; rtnetlink(7).
"""

from __future__ import annotations

import socket
import struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

RTM_NEWQDISC: Final = 36
NLM_F_REQUEST: Final = 1
NLM_F_ACK: Final = 4
NLMSG_ERROR: Final = 2
TCA_KIND: Final = 1
TCA_OPTIONS: Final = 2
#: Of the ifb's plug; and where it sits.
HANDLE: Final = 0x10000
ROOT: Final = 0xFFFFFFFF
TCQ_PLUG_RELEASE_INDEFINITE: Final = 2
HEADER: Final = struct.Struct("=IHHII")
TCMSG: Final = struct.Struct("=BxxxiIII")
ATTRIBUTE: Final = struct.Struct("=HH")
OPTIONS: Final = struct.Struct("=iI")
ERROR: Final = struct.Struct("=i")
ANSWER_MAX: Final = 4096


def let_go(domid: int, seconds: float) -> bool:
    """Let all pass that a guest sends, and has sent; False if nothing holds it back.

    Args:
        domid: Of the guest.
        seconds: For the kernel's answer.

    Raises:
        OSError: The kernel refuses it, or does not answer.
    """
    try:
        index = socket.if_nametoindex(f"xlpy-{domid}")
    except OSError:
        return False
    request = _request(index)
    with socket.socket(
        socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE
    ) as kernel:
        kernel.settimeout(seconds)
        kernel.send(request)
        answer = kernel.recv(ANSWER_MAX)
    _, kind, *_ = HEADER.unpack_from(answer)
    (code,) = ERROR.unpack_from(answer, HEADER.size)
    if kind != NLMSG_ERROR or code:
        raise OSError(-code, "refused by the kernel")
    return True


def _request(index: int) -> bytes:
    """Give the message that has a plug let all pass."""
    kind = _attribute(TCA_KIND, b"plug\0")
    options = _attribute(TCA_OPTIONS, OPTIONS.pack(TCQ_PLUG_RELEASE_INDEFINITE, 0))
    body = TCMSG.pack(socket.AF_UNSPEC, index, HANDLE, ROOT, 0) + kind + options
    size, flags = HEADER.size + len(body), NLM_F_REQUEST | NLM_F_ACK
    return HEADER.pack(size, RTM_NEWQDISC, flags, 1, 0) + body


def _attribute(kind: int, data: bytes) -> bytes:
    size = ATTRIBUTE.size + len(data)
    return ATTRIBUTE.pack(size, kind) + data + bytes(-size % 4)
