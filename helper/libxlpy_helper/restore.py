"""Restore one domain, in order of execution. The domain exists already, empty."""

import errno

from libxlpy_helper import stream as libxl_stream
from libxlpy_helper.callbacks import ParentCallbacks
from libxlpy_helper.memory import claimed
from libxlpy_helper.operation import Operation, RefusedError, check_result
from libxlpy_helper.records import Domain, RecordReader, Sink
from libxlpy_helper.stream import Stream, StreamEndedError
from libxlpy_helper.xen.xenguest import RestoreArguments, Result
from libxlpy_protocol.messages import RestoreResults, ToolstackRestore
from libxlpy_protocol.stream.libxl import LibxlRecord


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
        callbacks = _restore_libxc(operation)
    if operation.is_libxl:
        operation.phase("emulator")
        _restore_rest(operation, callbacks)
    operation.phase("end")


def check_restore(operation: Operation) -> None:
    """Find now what libxc would end the process for by an assertion.

    Raises:
        RefusedError: A callback is missing.
    """
    if operation.has_checkpoints and "checkpoint" not in operation.offered:
        raise RefusedError(errno.EINVAL, "the parent doesn't offer: checkpoint")


def _restore_libxc(operation: Operation) -> ParentCallbacks:
    callbacks, result, results = restore_libxc(operation)
    check_result(callbacks, told_of_end(operation.stream, result))
    operation.outbox.put(results)
    return callbacks


def restore_libxc(
    operation: Operation, callbacks: ParentCallbacks | None = None
) -> tuple[ParentCallbacks, Result, RestoreResults]:
    """Have libxc read its own stream; the results are 0, 0 if it didn't get so far.

    Args:
        operation: Has the stream.
        callbacks: What libxc's callbacks go to, if not to the parent as usual.
    """
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
    callbacks = callbacks or _callbacks(operation)
    result, store_gfn, console_gfn = operation.handle.restore(
        arguments, callbacks, operation.offered
    )
    return callbacks, result, RestoreResults(store_gfn, console_gfn)


def _callbacks(operation: Operation) -> ParentCallbacks:
    """Return what libxc's callbacks go to; with checkpoints it reads our part, too."""
    if not (operation.is_libxl and operation.has_checkpoints):
        return operation.callbacks()
    from libxlpy_helper.epochs import HeldEpochs

    return HeldEpochs(
        operation.channel,
        operation.outbox,
        operation.stream,
        has_emulator=bool(operation.start.emulator_path),
    )


def told_of_end(stream: Stream, result: Result) -> Result:
    """Give a failed restore that has met the end of its stream an errno for that.

    libxc leaves 0 there, as in other failures.
    """
    if result.retval and not result.errnoval and stream.at_end():
        return result.replace(errnoval=errno.ENODATA)
    return result


def _restore_rest(operation: Operation, callbacks: ParentCallbacks) -> None:
    """Restore the device model: from the stream, or as of the last whole epoch."""
    domain = _domain(operation)
    if not operation.has_checkpoints:
        RecordReader(operation.stream, domain).read_to(LibxlRecord.END)
        return
    from libxlpy_helper.epochs import HeldEpochs

    assert isinstance(callbacks, HeldEpochs)
    if callbacks.last is None:
        raise StreamEndedError
    if domain is not None:
        callbacks.last.hand_on(domain)


def _domain(operation: Operation) -> Sink | None:
    """Return what takes the device model's state; None if the domain has none."""
    start = operation.start
    if not start.emulator_path:
        return None

    def toolstack_restore(data: bytes) -> None:
        call = ToolstackRestore(start.domid, data)
        if operation.offers(ToolstackRestore) and operation.channel.ask_int(call):
            operation.abort.check()
            raise OSError(errno.EIO, "toolstack_restore failed")

    return Domain(toolstack_restore, start.emulator_path, f"qemu-resume.{start.domid}")
