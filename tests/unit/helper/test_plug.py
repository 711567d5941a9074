"""What a killed protection held back is let go by its helper; the kernel is played.

tests/xen has it done by real ones.
"""

import errno
import os
import socket
import struct
from importlib import import_module
from types import SimpleNamespace

import pytest

from libxlpy_helper.peers import plug


class Kernel:
    """A netlink socket that answers with a code."""

    def __init__(self, code: int) -> None:
        self._code = code
        self.asked = b""

    def __enter__(self) -> "Kernel":
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def settimeout(self, seconds: float) -> None:
        assert seconds == 0.5

    def send(self, data: bytes) -> None:
        self.asked = data

    def recv(self, _size: int) -> bytes:
        return (
            plug.HEADER.pack(36, 2, 0, 1, 0) + plug.ERROR.pack(-self._code) + bytes(16)
        )


@pytest.fixture
def kernel(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Kernel:
    kernel = Kernel(getattr(request, "param", 0))
    played = {
        "socket": lambda *_: kernel,
        "if_nametoindex": {"xlpy-7": 42}.__getitem__,
    }
    monkeypatch.setattr(plug, "socket", SimpleNamespace(**vars(socket) | played))
    return kernel


def test_message_is_the_librarys(kernel: Kernel) -> None:
    """Read by who knows the kernel's messages."""
    assert plug.let_go(7, 0.5)
    [message] = (
        import_module("pyroute2.netlink.rtnl.marshal").MarshalRtnl().parse(kernel.asked)
    )
    assert message["header"]["type"] == plug.RTM_NEWQDISC
    assert message["header"]["flags"] == plug.NLM_F_REQUEST | plug.NLM_F_ACK
    assert (message["index"], message["handle"]) == (42, 0x10000)
    assert message["parent"] == 0xFFFFFFFF
    assert message.get_attr("TCA_KIND") == "plug"
    assert kernel.asked.endswith(struct.pack("=iI", 2, 0))


@pytest.mark.parametrize("kernel", [errno.EPERM], indirect=True)
def test_refusal_is_told(kernel: Kernel) -> None:
    with pytest.raises(PermissionError):
        plug.let_go(7, 0.5)
    assert kernel.asked


def test_nothing_is_asked_of_a_guest_that_nothing_holds_back() -> None:
    assert not plug.let_go(os.getpid() % 1000 + 32000, 0.5)
