"""Ctxs come and go, are shared by threads, and keep to themselves."""

import logging
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from libxlpy import BackendError, GuestState
from libxlpy.errors import UsageError
from libxlpy.libxl import (
    ERROR_ABORTED,
    AsyncopHow,
    LibxlCtx,
    LibxlEvent,
    libxl_ao_abort,
    libxl_ctx_alloc,
    libxl_ctx_free,
    libxl_domain_pause,
    libxl_domain_resume,
    libxl_domain_suspend,
    libxl_domain_unpause,
    libxl_event_check,
    libxl_event_wait,
    libxl_osevent_occurred_timeout,
    libxl_outcome,
)
from tests.integration.libxl.conftest import FullPipe, Program
from tests.support.foreign_loop import ForeignLoop
from tests.support.guest import Guest
from tests.support.processes import end_of_threads_aside

InThread = Callable[..., threading.Thread]


def test_no_backend_is_one_error_and_leaves_no_thread(tmp_path: Path):
    before = threading.active_count()
    with pytest.raises(BackendError, match="xlpy"):
        libxl_ctx_alloc("simxen", tmp_path)
    loop = ForeignLoop()
    with pytest.raises(BackendError):
        libxl_ctx_alloc("simxen", tmp_path, hooks=loop.hooks())
    end_of_threads_aside()  # they have answered, and may still be ending
    assert threading.active_count() == before
    assert loop.calls == ["fd_register", "fd_deregister"]


def test_callback_that_raises_is_logged_and_harms_nobody(
    program: Program, guest: Guest, caplog: pytest.LogCaptureFixture
):
    def broken(ctx: LibxlCtx, rc: int, for_callback: Any) -> None:
        raise RuntimeError("a bug of the toolstack")

    ctx = program.ctx
    with caplog.at_level(logging.ERROR):
        assert libxl_domain_pause(ctx, guest.domid, AsyncopHow(broken)) == 0
        assert libxl_domain_unpause(ctx, guest.domid, program.how("next")) == 0
        assert program.next_call()[:2] == (0, "next")
    assert "a bug of the toolstack" in caplog.text
    assert f"callback of pause of domain {guest.domid}" in caplog.text


def test_callback_may_call_synchronous_functions(
    program: Program, guest: Guest, null: int
):
    def resume(ctx: LibxlCtx, rc: int, domid: Any) -> None:
        program.callback(ctx, libxl_domain_resume(ctx, domid, 1), domid)

    how = AsyncopHow(resume, guest.domid)
    assert libxl_domain_suspend(program.ctx, guest.domid, null, 2, how) == 0
    assert program.next_call()[:2] == (0, guest.domid)
    guest.assert_untouched()


def test_event_is_waited_for_in_another_thread(
    program: Program, guest: Guest, null: int, in_thread: InThread
):
    found: list[LibxlEvent] = []
    waiting = in_thread(
        lambda: found.append(
            libxl_event_wait(program.ctx, lambda event: event.for_user == 2)
        )
    )
    one, two = AsyncopHow(for_event=1), AsyncopHow(for_event=2)
    assert libxl_domain_pause(program.ctx, guest.domid, one) == 0
    assert program.next_event().for_user == 1
    assert libxl_domain_unpause(program.ctx, guest.domid, two) == 0
    if program.loop is not None:
        program.loop.run(program.ctx, lambda: found)
    waiting.join()
    assert [event.for_user for event in found] == [2]
    assert libxl_event_check(program.ctx) is None


def test_event_wait_runs_a_hooked_ctx_too(host: Path, guest: Guest):
    program = Program(host, ForeignLoop())
    how = AsyncopHow(for_event=1)
    assert libxl_domain_pause(program.ctx, guest.domid, how) == 0
    assert libxl_event_wait(program.ctx).for_user == 1
    assert libxl_domain_unpause(program.ctx, guest.domid) == 0
    libxl_ctx_free(program.ctx)


@pytest.mark.timeout(180)
def test_many_threads_use_one_ctx_and_many_ctxs_one_host(
    host: Path, null: int, in_thread: InThread
):
    """Each thread saves and resumes its own guest, on a shared ctx and on its own."""
    shared = Program(host, None)
    codes: list[int] = []

    def work(own: bool) -> None:
        with Guest(host, "pv") as guest:
            program = Program(host, None) if own else shared
            for _ in range(3):
                codes.append(libxl_domain_suspend(program.ctx, guest.domid, null, 2))
                assert libxl_outcome(program.ctx).domid == guest.domid
                codes.append(libxl_domain_resume(program.ctx, guest.domid, 1))
            guest.assert_untouched()
            if own:
                libxl_ctx_free(program.ctx)

    for thread in [in_thread(work, own) for own in (False, True, False, True)]:
        thread.join()
    assert codes == [0] * 24
    libxl_ctx_free(shared.ctx)


def test_free_aborts_what_is_under_way_and_tells_it_first(
    program: Program, guest: Guest, pipe: FullPipe
):
    how = program.how("aborted")
    rc = libxl_domain_suspend(program.ctx, guest.domid, pipe.writing, 2, how)
    assert rc == 0
    libxl_ctx_free(program.ctx)
    rc, given, outcome, _ = program.called.get_nowait()
    assert (rc, given) == (ERROR_ABORTED, "aborted")
    assert outcome.guest is GuestState.RUNNING
    assert program.called.empty()
    guest.assert_untouched()


def test_free_ends_calls_that_wait_in_other_threads(
    host: Path, guest: Guest, pipe: FullPipe, in_thread: InThread
):
    program = Program(host, None)
    ends: list[object] = []

    def save() -> None:
        ends.append(libxl_domain_suspend(program.ctx, guest.domid, pipe.writing, 2))

    def wait() -> None:
        with pytest.raises(UsageError, match="freed"):
            libxl_event_wait(program.ctx)
        ends.append("freed")

    threads = [in_thread(save), in_thread(wait)]
    pipe.used()
    libxl_ctx_free(program.ctx)
    for thread in threads:
        thread.join()
    assert sorted(map(str, ends)) == [str(ERROR_ABORTED), "freed"]
    guest.assert_untouched()


def test_callback_may_free_its_ctx(host: Path, guest: Guest):
    program, freed = Program(host, None), threading.Event()

    def free(ctx: LibxlCtx, rc: int, for_callback: Any) -> None:
        libxl_ctx_free(ctx)
        freed.set()

    assert libxl_domain_pause(program.ctx, guest.domid, AsyncopHow(free)) == 0
    assert freed.wait(20)
    libxl_ctx_free(program.ctx)


def test_freed_ctx_is_told_as_that(program: Program, guest: Guest):
    libxl_ctx_free(program.ctx)
    libxl_ctx_free(program.ctx)
    for call in (
        lambda: libxl_domain_pause(program.ctx, guest.domid),
        lambda: libxl_event_check(program.ctx),
        lambda: libxl_event_wait(program.ctx),
        lambda: libxl_ao_abort(program.ctx, None),
    ):
        with pytest.raises(UsageError, match="freed"):
            call()


def test_hooks_of_a_ctx_without_and_its_thread_are_checked(
    threaded: Program, host: Path, in_thread: InThread
):
    with pytest.raises(UsageError, match="without hooks"):
        libxl_osevent_occurred_timeout(threaded.ctx, None)
    hooked = Program(host, ForeignLoop())
    said: list[str] = []

    def free() -> None:
        try:
            libxl_ctx_free(hooked.ctx)
        except UsageError as exc:
            said.append(str(exc))

    in_thread(free).join()
    assert said == ["libxl_ctx_free: only in the thread that made the ctx"]
    libxl_ctx_free(hooked.ctx)


async def test_hooks_are_refused_inside_asyncio(host: Path):
    loop = ForeignLoop()
    with pytest.raises(UsageError, match="Context"):
        libxl_ctx_alloc("simxen", host, hooks=loop.hooks())
    assert loop.calls == []


def test_hook_that_raises_leaves_nothing_behind(host: Path):
    def refuse(*arguments: Any) -> None:
        raise MemoryError("no room in the foreign loop")

    loop = ForeignLoop()
    with pytest.raises(MemoryError):
        libxl_ctx_alloc("simxen", host, hooks=loop.hooks().replace(fd_register=refuse))


FORKED = """
import os, sys
from libxlpy.errors import UsageError
from libxlpy.libxl import libxl_ctx_alloc, libxl_ctx_free, libxl_event_check
ctx = libxl_ctx_alloc("simxen", sys.argv[1])
pid = os.fork()
if not pid:
    for call in (libxl_event_check, libxl_ctx_free):
        try:
            call(ctx)
        except UsageError as exc:
            assert "after a fork" in str(exc), exc
        else:
            os._exit(1)
    os._exit(0)
assert os.waitpid(pid, 0)[1] == 0
libxl_ctx_free(ctx)
"""

FORGOTTEN = """
import os, sys
from libxlpy.libxl import AsyncopHow, libxl_ctx_alloc, libxl_domain_suspend
ctx = libxl_ctx_alloc("simxen", sys.argv[1])
reading, writing = os.pipe()
rc = libxl_domain_suspend(ctx, int(sys.argv[2]), writing, 2, AsyncopHow(for_event=1))
assert rc == 0
os.read(reading, 1)
"""


def run(program: str, *arguments: object) -> None:
    argv = [sys.executable, "-W", "ignore", "-c", program, *map(str, arguments)]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=50, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_forked_child_is_told_to_make_its_own(host: Path):
    run(FORKED, host)


def test_program_that_ends_without_a_free_ends_and_its_guest_runs_on(
    host: Path, guest: Guest
):
    run(FORGOTTEN, host, guest.domid)
    guest.assert_working()
    assert not guest.facts()["shutdown"]


def test_descriptors_of_threads_are_only_the_loops(host: Path):
    """Ten ctxs leave as many descriptors as none: what is freed is closed."""
    before = set(Path("/proc/self/fd").iterdir())
    for _ in range(10):
        libxl_ctx_free(libxl_ctx_alloc("simxen", host))
    assert set(Path("/proc/self/fd").iterdir()) == before
