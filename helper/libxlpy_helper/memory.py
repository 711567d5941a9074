"""Memory that is set aside for a domain while it is restored: it has all or nothing.

No other domain gets what is claimed, and everything else goes on: none waits for a lock
while a stream is read. Xen takes off what the domain gets, and forgets the rest once
the domain is gone.

Xen: xen/common/page_alloc.c, domain_set_outstanding_pages().
"""

from __future__ import annotations

import contextlib
import errno
import os

from libxlpy_helper.domain_ops import find, free_pages
from libxlpy_helper.operation import CONTEXT, Operation, RefusedError
from libxlpy_protocol.messages import Log
from libxlpy_protocol.xen import PAGE_SIZE, XTL_WARN

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

MIB = 1 << 20


@contextlib.contextmanager
def claimed(operation: Operation) -> Iterator[None]:
    """Have set aside what ``start.claim_pages`` says, while the domain is filled.

    Raises:
        RefusedError: ENOMEM, there is not so much.
        OSError: The hypervisor can't be asked.
    """
    start, handle = operation.start, operation.handle
    if not start.claim_pages:
        yield
        return
    info = find(handle, start.domid)
    most = info.max_pages if info is not None else 0
    result = handle.claim(start.domid, min(start.claim_pages, most))
    if result.errnoval == errno.ENOMEM:
        raise RefusedError(errno.ENOMEM, _too_little(operation))
    if result.retval:  # it is as without: there may be enough
        why = os.strerror(result.errnoval)
        text = f"memory of domain {start.domid} is not claimed: {why}"
        operation.outbox.put(Log(XTL_WARN, result.errnoval, CONTEXT, text))
    try:
        yield
    finally:
        handle.claim(start.domid, 0)


def _too_little(operation: Operation) -> str:
    needed = operation.start.claim_pages * PAGE_SIZE // MIB
    free, taken = free_pages(operation.handle)
    there = max(free - taken, 0) * PAGE_SIZE // MIB
    return f"not enough memory: it needs {needed} MiB, and {there} MiB are free"
