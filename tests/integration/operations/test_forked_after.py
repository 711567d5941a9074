"""A child that is forked once a job has ended keeps all that its parent has opened."""

import os
import warnings
from pathlib import Path

from libxlpy import Context
from libxlpy.save_file import SaveFile
from tests.support.guest import Guest, aside

#: More than a job has descriptors.
PIPES = 40


async def test_what_was_opened_since_is_whole_in_a_child(
    ctx: Context, guest: Guest, tmp_path: Path
):
    async with await SaveFile.when_free(tmp_path / "image", b"") as file:
        job = await ctx.domain_suspend(guest.domid, file.fd)
        await job
        await file.put_in_place()
    await ctx.domain_resume(guest.domid)
    assert await aside(written_by_a_child) == b"x" * PIPES
    assert job.error is None, "it is alive, as in a toolstack that looks at it later"


def written_by_a_child() -> bytes:
    """Open pipes, under numbers that were in use before; have a child write to each."""
    pipes = [os.pipe() for _ in range(PIPES)]
    with warnings.catch_warnings(action="ignore", category=DeprecationWarning):
        pid = os.fork()
    if not pid:
        for _, writing in pipes:
            os.write(writing, b"x")
        os._exit(0)
    os.waitpid(pid, 0)
    for _, writing in pipes:
        os.close(writing)
    said = b"".join(os.read(reading, 1) for reading, _ in pipes)
    for reading, _ in pipes:
        os.close(reading)
    return said
