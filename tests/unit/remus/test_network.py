"""What is asked of the kernel for an interface whose output is held, and in what order.

The kernel here is played; tests/xen has it done by real ones.
"""

import errno
import struct
from collections.abc import Callable
from importlib import import_module
from types import SimpleNamespace

import pytest

from libxlpy.domain import plug
from libxlpy.domain.plug import leftover, remove
from libxlpy.errors import BackendError, JobError, NotSupported
from libxlpy.remus.devices import Devices
from libxlpy.remus.network import NetworkBuffer
from tests.support.netlink import (
    EMU,
    EMU_INDEX,
    IFB,
    IFB_INDEX,
    VIF,
    VIF_INDEX,
    Kernel,
)

SET_UP = [
    f"link add {IFB} ifb",
    f"link set {IFB_INDEX} up",
    f"tc add plug {IFB_INDEX}",
    "RELEASE_INDEFINITE",
    f"tc add ingress {VIF_INDEX}",
    f"tc add-filter matchall {VIF_INDEX} to {IFB_INDEX}",
]
TAKE_DOWN = [
    "RELEASE_INDEFINITE",
    f"tc del ingress {VIF_INDEX}",
    f"link del {IFB_INDEX}",
]


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> Kernel:
    kernel = Kernel()

    def index_of(name: str) -> int:
        if name not in kernel.indices:
            raise OSError(errno.ENODEV, "")
        return kernel.indices[name]

    sockets = SimpleNamespace(
        if_nametoindex=index_of,
        if_nameindex=lambda: [(index, name) for name, index in kernel.indices.items()],
    )
    monkeypatch.setattr(plug, "socket", sockets)
    monkeypatch.setattr(plug, "import_module", {"pyroute2": kernel}.__getitem__)
    return kernel


async def test_all_passes_until_the_first_epoch_is_closed(kernel: Kernel) -> None:
    net = NetworkBuffer([VIF], 3)
    await net.setup()
    assert kernel.asked == SET_UP
    kernel.asked.clear()
    kernel.queue = [2, 1, 0]  # what passes is not counted: it has to be gone
    await net.postsuspend(1)
    assert kernel.asked == ["2 held", "1 held", "BUFFER"]
    await net.teardown()
    assert kernel.open == 0


async def test_an_epoch_is_marked_and_released(kernel: Kernel) -> None:
    net = NetworkBuffer([VIF], 3)
    await net.setup()
    kernel.asked.clear()
    for epoch in (1, 2):
        await net.postsuspend(epoch)
        await net.preresume(epoch)
        await net.commit(epoch)
    assert kernel.asked == ["BUFFER", "RELEASE_ONE"] * 2
    await net.teardown()


async def test_no_epoch_is_closed_before_the_last_one_is_committed(
    kernel: Kernel,
) -> None:
    net = NetworkBuffer([VIF], 3)
    await net.setup()
    await net.postsuspend(1)
    with pytest.raises(AssertionError, match="room for one"):
        await net.postsuspend(2)
    with pytest.raises(AssertionError, match="not closed"):
        await net.commit(2)
    await net.commit(1)
    with pytest.raises(AssertionError, match="left out"):
        await net.postsuspend(3)
    assert kernel.asked == [*SET_UP, "BUFFER", "RELEASE_ONE"]
    await net.teardown()


async def test_all_leaves_before_anything_is_taken_down(kernel: Kernel) -> None:
    net = NetworkBuffer([VIF], 3)
    await net.setup()
    kernel.asked.clear()
    kernel.queue = [9, 3, 0]
    await net.teardown()
    release, *rest = TAKE_DOWN
    assert kernel.asked == ["9 held", release, "3 held", *rest]
    assert IFB not in kernel.indices
    assert await net.held() is None


async def test_what_does_not_leave_is_not_thrown_away(
    kernel: Kernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("libxlpy.remus.network.LEAVE_SECONDS", 0.01)
    net = NetworkBuffer([VIF], 3)
    await net.setup()
    kernel.queue = [5]
    with pytest.raises(BackendError, match=r"can't be removed: 5 packets don't leave"):
        await net.teardown()
    assert f"tc del ingress {VIF_INDEX}" in kernel.asked  # the rest goes straight on
    assert IFB in kernel.indices
    kernel.queue = [0]
    assert await leftover(3) == IFB
    await remove(IFB)
    assert await leftover(3) is None
    assert kernel.open == 0


async def test_what_is_held_and_lost_is_told(kernel: Kernel) -> None:
    net = NetworkBuffer([VIF], 3)
    assert await net.held() is None
    await net.setup()
    kernel.queue = [4, 0]
    assert await net.held() == plug.Held(packets=4, bytes=240, dropped=2)
    await net.teardown()


@pytest.mark.parametrize(
    ("step", "code", "kind", "text"),
    [
        ("link add", errno.EPERM, BackendError, "be made: root may"),
        ("link add", errno.EOPNOTSUPP, NotSupported, "modprobe ifb"),
        ("tc add plug", errno.ENOENT, NotSupported, "modprobe sch_plug"),
        ("RELEASE_IND", errno.EINVAL, BackendError, "does not obey: Invalid argument"),
        ("tc add ingress", errno.ENOENT, NotSupported, "modprobe sch_ingress"),
        ("tc add ingress", errno.EEXIST, BackendError, f"del dev {VIF} ingress"),
        ("tc add-filter", errno.ENOENT, NotSupported, "cls_matchall or act_mirred"),
    ],
)
async def test_setup_that_fails_is_undone(
    kernel: Kernel, step: str, code: int, kind: type[Exception], text: str
) -> None:
    kernel.refuses[step] = code
    net = NetworkBuffer([VIF], 3)
    with pytest.raises(kind, match=text):
        await net.setup()
    undone = f"tc del ingress {VIF_INDEX}" in kernel.asked
    assert undone == (step == "tc add-filter")  # else it is not ours
    kernel.refuses.clear()
    await net.teardown()
    assert kernel.open == 0
    if step == "RELEASE_IND":
        return  # there it is refused again; nothing is thrown away
    assert IFB not in kernel.indices


async def test_another_protections_interface_is_left_alone(kernel: Kernel) -> None:
    kernel.refuses["link add"] = errno.EEXIST
    kernel.indices[IFB] = IFB_INDEX
    devices = Devices([NetworkBuffer([VIF], 3)])
    with pytest.raises(JobError, match=r"network could not set up: .* recover"):
        await devices.setup()
    assert await devices.teardown() == []
    assert kernel.asked == SET_UP[:1]


async def test_interface_that_is_not_there(kernel: Kernel) -> None:
    net = NetworkBuffer(["vif4.0"], 4)
    with pytest.raises(BackendError, match=r"no interface vif4\.0"):
        await net.setup()
    await net.teardown()
    assert kernel.asked == []


async def test_without_pyroute2(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise ModuleNotFoundError(name)

    monkeypatch.setattr(plug, "import_module", missing)
    net = NetworkBuffer([VIF], 3)
    with pytest.raises(NotSupported, match="python3-pyroute2"):
        await net.setup()
    await net.teardown()


async def test_all_of_a_guests_interfaces_are_one_line(kernel: Kernel) -> None:
    net = NetworkBuffer([VIF, EMU], 3)
    await net.setup()
    to = [f"tc add-filter matchall {each} to {IFB_INDEX}" for each in (VIF_INDEX, 9)]
    assert kernel.asked == [*SET_UP[:-1], to[0], f"tc add ingress {EMU_INDEX}", to[1]]
    kernel.asked.clear()
    await net.postsuspend(1)
    await net.commit(1)
    assert kernel.asked == ["BUFFER", "RELEASE_ONE"]
    await net.teardown()
    assert f"tc del ingress {EMU_INDEX}" in kernel.asked
    assert not kernel.filters


async def test_one_that_can_not_be_redirected_frees_the_others(kernel: Kernel) -> None:
    kernel.refuses[f"tc add ingress {EMU_INDEX}"] = errno.EEXIST
    net = NetworkBuffer([VIF, EMU], 3)
    with pytest.raises(BackendError, match=f"{EMU} can't be redirected: it has"):
        await net.setup()
    assert not kernel.filters
    assert IFB not in kernel.indices
    await net.teardown()


async def test_leftover_is_a_guests_own(kernel: Kernel) -> None:
    names = ["xlpy-3.1", "xlpy-31", "vif3.0-emu"]
    kernel.indices |= dict.fromkeys(names, IFB_INDEX)
    assert await leftover(3) is None
    assert await leftover(31) == "xlpy-31"
    assert len(plug.ifb_name(0x7FEF).encode()) <= 15


OURS = plug.FILTER | IFB_INDEX


def _gone(kernel: Kernel) -> None:
    del kernel.indices[VIF]


def _others_filter(kernel: Kernel) -> None:
    kernel.filters = {VIF_INDEX: [0, OURS, 1]}


def _anothers(kernel: Kernel) -> None:
    kernel.filters = {VIF_INDEX: [0, OURS + 1]}


def _half(kernel: Kernel) -> None:
    kernel.plugged, kernel.filters = False, {VIF_INDEX: []}


@pytest.mark.parametrize("happen", [_gone, _others_filter, _anothers, _half])
async def test_only_what_is_ours_is_removed(
    kernel: Kernel, happen: Callable[[Kernel], None]
) -> None:
    kernel.indices[IFB], kernel.plugged = IFB_INDEX, True
    kernel.filters = {VIF_INDEX: [0, OURS]}
    happen(kernel)
    await remove(IFB)
    assert kernel.asked[-1] == TAKE_DOWN[-1]
    assert TAKE_DOWN[1] not in kernel.asked
    await remove(IFB)  # it is gone: nothing to do


async def test_what_a_killed_one_has_left_is_removed(kernel: Kernel) -> None:
    kernel.indices[IFB], kernel.plugged = IFB_INDEX, True
    kernel.filters = {VIF_INDEX: [0, OURS], EMU_INDEX: [0, OURS], 1: [0, 1]}
    await remove(IFB)
    assert kernel.filters == {1: [0, 1]}


async def test_what_is_no_ifb_is_not_removed(kernel: Kernel) -> None:
    kernel.indices[IFB], kernel.kind = IFB_INDEX, "dummy"
    with pytest.raises(BackendError, match="no ifb"):
        await remove(IFB)
    assert kernel.asked == []


@pytest.mark.parametrize(
    ("number", "action"),
    [*enumerate(["BUFFER", "RELEASE_ONE", "RELEASE_INDEFINITE", "LIMIT"])],
)
def test_library_has_the_kernels_numbers(number: int, action: str) -> None:
    library = import_module("pyroute2.netlink.rtnl.tcmsg.sched_plug")
    asked = {"action": f"TCQ_PLUG_{action}", "limit": 10}
    options = library.options(data=bytearray(12))
    options.setvalue(library.get_parameters(asked))
    options.encode()
    assert options.data[4:12] == struct.pack("=iI", number, 10)
