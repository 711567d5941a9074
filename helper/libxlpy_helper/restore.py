"""Restore one domain, in order of execution. The domain exists already, empty."""

import errno

from libxlpy_helper import stream as libxl_stream
from libxlpy_helper.callbacks import ParentCallbacks
from libxlpy_helper.memory import claimed
from libxlpy_helper.operation import Operation, RefusedError, check_result
from libxlpy_helper.stream import Stream
from libxlpy_helper.xen.xenguest import RestoreArguments, Result
from libxlpy_protocol.enums import StreamType
from libxlpy_protocol.messages import RestoreResults, ToolstackRestore


def restore(operation: Operation) -> None:
    """Fill ``start.domid`` from ``start.stream_fd``.

    Raises:
        RefusedError: A callback is missing, or memory to be claimed.
        StepError: xc_domain_restore failed.
        OSError: The stream is no libxl stream, or ends too early.
        AbortedError: The operation was aborted.
    """
    check_restore(operation)
    if operation.is_libxl:
        operation.phase("header")
        libxl_stream.read_header(operation.stream)
    operation.phase("libxc")
    with claimed(operation):
        _restore_libxc(operation)
    if operation.is_libxl:
        operation.phase("emulator")
        _restore_records(operation)
    operation.phase("end")


def check_restore(operation: Operation) -> None:
    """Find now what libxc would end the process for by an assertion.

    Raises:
        RefusedError: A callback is missing.
    """
    start = operation.start
    if start.stream_type is StreamType.PLAIN:
        return
    if "checkpoint" not in operation.offered:
        raise RefusedError(errno.EINVAL, "the parent doesn't offer: checkpoint")
    if operation.is_libxl:
        raise RefusedError(errno.EOPNOTSUPP, "checkpoints in a libxl stream")


def _restore_libxc(operation: Operation) -> None:
    callbacks, result, results = restore_libxc(operation)
    check_result(callbacks, told_of_end(operation.stream, result))
    operation.outbox.put(results)


def restore_libxc(
    operation: Operation,
) -> tuple[ParentCallbacks, Result, RestoreResults]:
    """Have libxc read its own stream; the results are 0, 0 if it didn't get so far."""
    start = operation.start
    arguments = RestoreArguments(
        io_fd=start.stream_fd,
        domid=start.domid,
        store_evtchn=start.store_evtchn,
        store_domid=start.store_domid,
        console_evtchn=start.console_evtchn,
        console_domid=start.console_domid,
        stream_type=start.stream_type,
        send_back_fd=start.recv_fd,
    )
    callbacks = operation.callbacks()
    result, store_gfn, console_gfn = operation.handle.restore(
        arguments, callbacks, operation.offered
    )
    return callbacks, result, RestoreResults(store_gfn, console_gfn)


def told_of_end(stream: Stream, result: Result) -> Result:
    """Give a failed restore that has met the end of its stream an errno for that.

    libxc leaves 0 there, as in other failures.
    """
    if result.retval and not result.errnoval and stream.at_end():
        return result.replace(errnoval=errno.ENODATA)
    return result


def _restore_records(operation: Operation) -> None:
    start = operation.start

    def toolstack_restore(data: bytes) -> None:
        call = ToolstackRestore(start.domid, data)
        if operation.offers(ToolstackRestore) and operation.channel.ask_int(call):
            operation.abort.check()
            raise OSError(errno.EIO, "toolstack_restore failed")

    made_as = f"qemu-resume.{start.domid}"
    libxl_stream.RecordReader(
        operation.stream, toolstack_restore, start.emulator_path, made_as
    ).read_all()
