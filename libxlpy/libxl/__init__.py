"""Libxl's calling convention: names, arguments, return codes as in C.

Every operation is done by a :class:`libxlpy.Context` that belongs to the ctx; here is
only how it is asked for and how its end is told. docs/libxl.md has the table and
programs to copy.

    ctx.py        alloc, free, start an operation, abort it, fetch an event
    ao.py         one operation: immediate failure or completion, exactly once
    events.py     completions that wait to be fetched
    driver.py     where the event loop runs: own_thread.py or osevent.py
    domain.py     the operations; codes.py their return codes
    remus.py      one that is only refused yet
"""

from libxlpy.libxl.ao import AO_INPROGRESS, AsyncopHow
from libxlpy.libxl.codes import (
    ERROR_ABORTED,
    ERROR_FAIL,
    ERROR_GUEST_TIMEDOUT,
    ERROR_INVAL,
    ERROR_NI,
    ERROR_NOTFOUND,
    ERROR_QMP_GENERIC_ERROR,
    ERROR_TIMEDOUT,
)
from libxlpy.libxl.ctx import (
    LibxlCtx,
    libxl_ao_abort,
    libxl_ctx_alloc,
    libxl_ctx_free,
    libxl_event_check,
    libxl_event_free,
    libxl_event_wait,
    libxl_osevent_occurred_fd,
    libxl_osevent_occurred_timeout,
    libxl_outcome,
)
from libxlpy.libxl.domain import (
    LIBXL_SUSPEND_DEBUG,
    LIBXL_SUSPEND_LIVE,
    DomidRef,
    libxl_domain_create_restore,
    libxl_domain_destroy,
    libxl_domain_pause,
    libxl_domain_resume,
    libxl_domain_suspend,
    libxl_domain_unpause,
)
from libxlpy.libxl.events import LIBXL_EVENT_TYPE_OPERATION_COMPLETE, LibxlEvent
from libxlpy.libxl.osevent import OSEventHooks
from libxlpy.libxl.remus import libxl_domain_remus_start
from libxlpy.remus.info import RemusInfo

__all__ = [
    "AO_INPROGRESS",
    "ERROR_ABORTED",
    "ERROR_FAIL",
    "ERROR_GUEST_TIMEDOUT",
    "ERROR_INVAL",
    "ERROR_NI",
    "ERROR_NOTFOUND",
    "ERROR_QMP_GENERIC_ERROR",
    "ERROR_TIMEDOUT",
    "LIBXL_EVENT_TYPE_OPERATION_COMPLETE",
    "LIBXL_SUSPEND_DEBUG",
    "LIBXL_SUSPEND_LIVE",
    "AsyncopHow",
    "DomidRef",
    "LibxlCtx",
    "LibxlEvent",
    "OSEventHooks",
    "RemusInfo",
    "libxl_ao_abort",
    "libxl_ctx_alloc",
    "libxl_ctx_free",
    "libxl_domain_create_restore",
    "libxl_domain_destroy",
    "libxl_domain_pause",
    "libxl_domain_remus_start",
    "libxl_domain_resume",
    "libxl_domain_suspend",
    "libxl_domain_unpause",
    "libxl_event_check",
    "libxl_event_free",
    "libxl_event_wait",
    "libxl_osevent_occurred_fd",
    "libxl_osevent_occurred_timeout",
    "libxl_outcome",
]
