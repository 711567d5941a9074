"""Save one domain, in order of execution."""

from __future__ import annotations

import errno
import os
import stat

from libxlpy_helper import stream as libxl_stream
from libxlpy_helper.domain_ops import find, is_another, is_hvm
from libxlpy_helper.operation import Operation, RefusedError, check_result
from libxlpy_protocol.enums import StreamType
from libxlpy_protocol.messages import SaveLibxc, ToolstackSave

TYPE_CHECKING = False
if TYPE_CHECKING:
    from libxlpy_helper.callbacks import ParentCallbacks


def save(operation: Operation) -> None:
    """Write the image of ``start.domid`` to ``start.stream_fd``.

    Raises:
        RefusedError: There is no such domain, or a callback is missing.
        StepError: xc_domain_save failed.
        OSError: A record of ours could not be written.
        AbortedError: The operation was aborted.
    """
    check_save(operation)
    if operation.is_libxl:
        operation.phase("header")
        libxl_stream.write_header(operation.stream)
    operation.phase("libxc")
    if operation.offers(SaveLibxc):
        _have_libxc_saved(operation)
    else:
        save_libxc(operation)
    if operation.is_libxl and not operation.has_checkpoints:
        if operation.start.emulator_id:
            operation.phase("emulator")
            _save_emulator(operation)
        operation.phase("end")
        libxl_stream.write_end(operation.stream)
    operation.phase("flush")
    _flush(operation.start.stream_fd)


def check_save(operation: Operation) -> None:
    """Find now what libxc would end the process for by an assertion.

    Raises:
        RefusedError: There is no such domain, or a callback is missing.
    """
    start = operation.start
    info = find(operation.handle, start.domid)
    if info is None:
        raise RefusedError(errno.ESRCH, f"there is no domain {start.domid}")
    if start.uuid and is_another(info, start.uuid):
        raise RefusedError(errno.ESTALE, f"domain {start.domid} is another domain now")
    missing = _needed(start.stream_type, hvm=is_hvm(info)) - operation.offered
    if missing and not operation.offers(SaveLibxc):
        names = ", ".join(sorted(missing))
        raise RefusedError(errno.EINVAL, f"the parent doesn't offer: {names}")


def _needed(stream_type: StreamType, *, hvm: bool) -> frozenset[str]:
    """Xen: tools/libs/guest/xg_sr_save.c, the assertions in xc_domain_save()."""
    needed = {"suspend"}
    if hvm:
        needed.add("switch_qemu_logdirty")
    if stream_type is StreamType.REMUS:
        needed |= {"checkpoint", "postcopy"}
    return frozenset(needed)


def save_libxc(operation: Operation) -> None:
    """Have libxc write its own stream.

    Raises:
        StepError: xc_domain_save failed.
    """
    start = operation.start
    callbacks = _callbacks(operation)
    result = operation.handle.save(
        io_fd=start.stream_fd,
        domid=start.domid,
        flags=start.flags,
        callbacks=callbacks,
        offered=operation.offered,
        stream_type=start.stream_type,
        recv_fd=start.recv_fd,
    )
    check_result(callbacks, result)


def _callbacks(operation: Operation) -> ParentCallbacks:
    """Return what libxc's callbacks go to; with checkpoints it writes our part, too."""
    if not (operation.is_libxl and operation.has_checkpoints):
        return operation.callbacks()
    from libxlpy_helper.epochs import SavedEpochs

    def write_behind() -> None:
        _save_emulator(operation)
        libxl_stream.write_checkpoint_end(operation.stream)

    return SavedEpochs(operation.channel, operation.outbox, write_behind)


def _have_libxc_saved(operation: Operation) -> None:
    """Wait while another process that has the same stream fd runs libxc.

    Raises:
        OSError: It failed; the parent knows why.
    """
    if operation.channel.ask_int(SaveLibxc()):
        raise OSError(errno.EIO, "the libxc stream was not written")


def _save_emulator(operation: Operation) -> None:
    start, stream = operation.start, operation.stream
    if not start.emulator_id:
        return
    if operation.offers(ToolstackSave):
        data = operation.channel.ask_bytes(ToolstackSave(start.domid))
        operation.abort.check()
        if data is None:
            raise OSError(errno.EIO, "toolstack_save failed")
        libxl_stream.write_xenstore_data(stream, start.emulator_id, data)
    if start.emulator_path:
        path = start.emulator_path
        libxl_stream.write_emulator_context(stream, start.emulator_id, path)


def _flush(stream_fd: int) -> None:
    """Have a file on disk before success is told; a full disk may show only here."""
    if not stat.S_ISREG(os.fstat(stream_fd).st_mode):
        return
    try:
        os.fsync(stream_fd)
    except OSError as exc:
        if exc.errno not in (errno.EINVAL, errno.EOPNOTSUPP, errno.ENOSYS):
            raise  # else its file system knows no such thing
