"""The largest guest that is promised, there and back; its memory is mostly holes."""

import ctypes
import mmap
import os
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

import pytest

from libxlpy import Context, GuestState, SuspendFlags
from libxlpy.results.of_jobs import RestoreResult, SaveResult
from libxlpy.simxen.client import request
from libxlpy.simxen.library import simxen_library
from tests.support.guest import aside
from tests.support.simxen_clients import Hypervisor
from tests.support.victim import Victim

MEMORY_MIB = 8192
PAGES = MEMORY_MIB << 8
PAGE = 4096
GIB = (1 << 30) // PAGE
#: Pages that are certainly written: both ends, and where a number of bytes leaves what
#: 31 or 32 bits can hold.
EDGES = [
    *(0, 1, PAGES - 2, PAGES - 1),
    *(at + off for at in (2 * GIB, 4 * GIB) for off in (-1, 0, 1)),
]


@contextmanager
def mapped(host: Path, domid: int) -> Iterator[list[int]]:
    """Give descriptors of a domain's memory and vcpu page, as the hypervisor does."""
    hypervisor = Hypervisor(host)
    try:
        hypervisor.ok(Hypervisor.MAP, domid)
        yield hypervisor.fds
        for fd in hypervisor.fds:
            os.close(fd)
    finally:
        hypervisor.sock.close()


def edges_of(host: Path, domid: int) -> dict[int, bytes]:
    with mapped(host, domid) as (memory_fd, _):
        return {pfn: os.pread(memory_fd, PAGE, pfn * PAGE) for pfn in EDGES}


def write_edges(host: Path, domid: int) -> None:
    """Write the pages at the edges, as a device model does."""
    with mapped(host, domid) as fds, ExitStack() as maps:
        views = [maps.enter_context(mmap.mmap(fd, os.fstat(fd).st_size)) for fd in fds]
        first = [ctypes.c_char.from_buffer(view) for view in views]
        memory, vcpu = map(ctypes.addressof, first)
        for pfn in EDGES:
            simxen_library().dma_write(memory, vcpu, PAGES, pfn, log=True)
        del first  # a map that is looked at can't be given back


@contextmanager
def large_guest(host: Path) -> Iterator[int]:
    """Give a paused guest that will write all over a memory with only edges in it."""
    wanted = {"type": "pv", "memory_mib": MEMORY_MIB, "rate": 5000, "fill": False}
    domid: int = request(host, "create", name="large", paused=True, **wanted)["domid"]
    try:
        write_edges(host, domid)
        yield domid
    finally:
        request(host, "destroy", domid=domid)


async def save_by_pipe(ctx: Context, domid: int, path: Path) -> SaveResult:
    """Save live into a pipe; what comes out becomes a file with holes for zeros."""
    argv = ["dd", "bs=16K", "iflag=fullblock", "conv=sparse", "status=none"]
    with (
        path.open("wb") as file,
        subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=file) as writer,
    ):
        assert writer.stdin is not None
        job = await ctx.domain_suspend(domid, writer.stdin.fileno(), SuspendFlags.LIVE)
        result = await job
        writer.stdin.close()
        assert await aside(writer.wait) == 0
    return result


async def restore_by_pipe(ctx: Context, config: bytes, path: Path) -> RestoreResult:
    """Restore what is read from a pipe."""
    with subprocess.Popen(["cat", path], stdout=subprocess.PIPE) as reader:
        assert reader.stdout is not None
        fd = reader.stdout.fileno()
        job = await ctx.domain_restore(fd, config=config, name="back", paused=True)
        result = await job
        assert await aside(reader.wait) == 0
    return result


@pytest.mark.long
@pytest.mark.timeout(1200)  # 16 GiB through pipes; a busy machine needs its time
async def test_guest_of_8_gib_is_saved_live_and_restored(
    host: Path, tmp_path: Path
) -> None:
    image = tmp_path / "image"
    async with Context("simxen", host) as ctx:
        with large_guest(host) as domid:
            config = await ctx.retrieve_config(domid)
            await ctx.domain_unpause(domid)
            result = await save_by_pipe(ctx, domid, image)
            assert result.pages > PAGES  # all once, and what was written meanwhile
            assert result.guest is GuestState.SUSPENDED
            saved = await aside(edges_of, host, domid)
            assert bytes(PAGE) not in saved.values()
            await ctx.domain_resume(domid)
            Victim(host, domid, "pv").assert_unharmed("resumed")
        # Its memory is given back before that of the copy is taken.
        restored = await restore_by_pipe(ctx, config, image)
        try:
            assert restored.guest is GuestState.PAUSED
            assert await aside(edges_of, host, restored.domid) == saved
            found = await aside(partial(request, host, "verify", domid=restored.domid))
            assert (found["match"], found["pages"]) == (True, PAGES), found
        finally:
            request(host, "destroy", domid=restored.domid)
