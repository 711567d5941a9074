"""Domain ops: the hypercalls a parent needs, on the control thread's own handle."""

from __future__ import annotations

import errno
import time

from libxlpy_helper.xen.xenguest import DomainInfo, Handle, Result
from libxlpy_protocol.enums import Op
from libxlpy_protocol.messages import DomainOp, OpResult
from libxlpy_protocol.xen import (
    DOMINF_DYING,
    DOMINF_HVM_GUEST,
    DOMINF_SHUTDOWN,
    DOMINF_SHUTDOWN_MASK,
    DOMINF_SHUTDOWN_SHIFT,
    DOMINF_STATES,
    PAGE_SIZE,
    SHUTDOWN_SUSPEND,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Final

#: Option of Xen.
DOM0_MEM: Final = "dom0_mem="
#: Milliseconds that the control thread may do nothing else.
LOOK_MAX: Final = 1000


def perform(handle: Handle, op: DomainOp) -> OpResult:
    """Do one op; every failure is in the result."""
    try:
        if op.uuid and is_another(find(handle, op.domid), op.uuid):
            return OpResult(-1, errno.ESTALE)
        return _OPS[op.op](handle, op)
    except OSError as exc:
        return OpResult(-1, exc.errno or errno.EIO)


def find(handle: Handle, domid: int) -> DomainInfo | None:
    """Return a domain's info; None if there is no such domain.

    Raises:
        OSError: The hypervisor refused.
    """
    info = handle.info(domid)
    return info if info is not None and info.domid == domid else None


def is_another(info: DomainInfo | None, uuid: bytes) -> bool:
    """Tell whether a domid has gone from the domain of ``uuid`` to another one."""
    return info is not None and info.uuid != uuid


def is_dying(info: DomainInfo) -> bool:
    """Tell whether a domain is being destroyed; it is there until nobody maps it."""
    return bool(info.flags & DOMINF_DYING)


def is_hvm(info: DomainInfo) -> bool:
    """Tell HVM and PVH from PV; libxc makes no difference between the first two."""
    return bool(info.flags & DOMINF_HVM_GUEST)


def is_suspended(info: DomainInfo) -> bool:
    """Tell whether the guest is in shutdown(suspend), and so may be resumed."""
    return bool(info.flags & DOMINF_SHUTDOWN) and _reason(info) == SHUTDOWN_SUSPEND


def free_pages(handle: Handle) -> tuple[int, int]:
    """Return how many pages no domain has, and how many of them are claimed for one.

    Raises:
        OSError: The hypervisor refused.
    """
    claimed, info = 0, handle.info(0)
    while info is not None:
        claimed += info.outstanding_pages
        info = handle.info(info.domid + 1)
    return handle.free_memory() // PAGE_SIZE, claimed


def is_dom0_sized(handle: Handle) -> bool:
    """Tell whether Xen was told at its boot how much memory dom0 is to have.

    Xen: tools/xl/xl.c, auto_autoballoon().

    Raises:
        OSError: The hypervisor refused.
    """
    words = handle.command_line().split(" ")
    return any(word.startswith(DOM0_MEM) and word != DOM0_MEM for word in words)


# --------------------------------------------------------------------------------------
# One function per op
# --------------------------------------------------------------------------------------


def _info(handle: Handle, op: DomainOp) -> OpResult:
    info = find(handle, op.domid)
    return OpResult(-1, errno.ESRCH) if info is None else _found(0, info)


def _list(handle: Handle, op: DomainOp) -> OpResult:
    if not 0 <= op.argument < 1 << 32:
        return OpResult(-1, errno.EINVAL)
    info = handle.info(op.argument)
    return OpResult(0) if info is None else _found(1, info)


def _shutdown(handle: Handle, op: DomainOp) -> OpResult:
    if not 0 <= op.argument <= DOMINF_SHUTDOWN_MASK:
        return OpResult(-1, errno.EINVAL)
    return _plain(handle.shutdown(op.domid, op.argument))


def _resume(handle: Handle, op: DomainOp) -> OpResult:
    return _plain(handle.resume(op.domid, int(bool(op.argument))))


def _hvm_param(handle: Handle, op: DomainOp) -> OpResult:
    if not 0 <= op.argument < 1 << 32:
        return OpResult(-1, errno.EINVAL)
    return OpResult(0, 0, (handle.hvm_param(op.domid, op.argument),))


def _writes(handle: Handle, op: DomainOp) -> OpResult:
    if not 1 <= op.argument <= LOOK_MAX:
        return OpResult(-1, errno.EINVAL)
    on = handle.logdirty_on(op.domid)
    if on.retval:
        return _plain(on)  # if it was on, it is somebody else's
    try:
        values = _written(handle, op.domid, op.argument / 2000)
    finally:
        off = _logdirty_off(handle, op)
    return OpResult(0, 0, values) if not off.retval else off


def _logdirty_off(handle: Handle, op: DomainOp) -> OpResult:
    if op.uuid and is_another(find(handle, op.domid), op.uuid):
        return OpResult(-1, errno.ESTALE)
    return _plain(handle.logdirty_off(op.domid))


def _written(handle: Handle, domid: int, half: float) -> tuple[int, ...]:
    """Return the pages written in one half, in two, and the nanoseconds of each."""
    before, began = handle.dirty_count(domid), time.monotonic_ns()
    pages, spent = [], []
    for _ in range(2):
        time.sleep(half)
        pages.append(max(handle.dirty_count(domid) - before, 0))
        spent.append(time.monotonic_ns() - began)
    return (*pages, *spent)


def _memory(handle: Handle, _op: DomainOp) -> OpResult:
    return OpResult(0, 0, (*free_pages(handle), int(is_dom0_sized(handle))))


_OPS: Final[dict[Op, Callable[[Handle, DomainOp], OpResult]]] = {
    Op.INFO: _info,
    Op.LIST: _list,
    Op.PAUSE: lambda handle, op: _plain(handle.pause(op.domid)),
    Op.UNPAUSE: lambda handle, op: _plain(handle.unpause(op.domid)),
    Op.SHUTDOWN: _shutdown,
    Op.RESUME: _resume,
    Op.LOGDIRTY_OFF: lambda handle, op: _plain(handle.logdirty_off(op.domid)),
    Op.DESTROY: lambda handle, op: _plain(handle.destroy(op.domid)),
    Op.CAPABILITIES: lambda handle, op: OpResult(0, 0, (handle.capabilities(),)),
    Op.HVM_PARAM: _hvm_param,
    Op.MEMORY: _memory,
    Op.WRITES: _writes,
}


def _plain(result: Result) -> OpResult:
    return OpResult(result.retval, result.errnoval)


def _found(retval: int, info: DomainInfo) -> OpResult:
    values = (
        info.domid,
        info.flags & DOMINF_STATES,
        _reason(info) if info.flags & DOMINF_SHUTDOWN else 0,
        info.tot_pages,
        info.max_pages,
        info.nr_online_vcpus,
        info.cpu_time_ns,
        int(is_hvm(info)),
    )
    return OpResult(retval, 0, values, info.uuid)


def _reason(info: DomainInfo) -> int:
    return info.flags >> DOMINF_SHUTDOWN_SHIFT & DOMINF_SHUTDOWN_MASK
