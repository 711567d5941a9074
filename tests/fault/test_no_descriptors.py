"""No descriptor is left, or few: each call ends in an error of ours that says so."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.guest import Guest
from tests.support.shell import ROOT, environment

CALLER = """
import asyncio, contextlib, errno, importlib, os, pkgutil, resource, sys
import libxlpy
from libxlpy import Context, JobError, LibxlpyError

LIMIT = 80
for room in "domain jobs journal operations process recovery simxen".split():
    package = importlib.import_module(f"libxlpy.{room}")
    for each in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
        if not each.name.endswith("__main__"):
            importlib.import_module(each.name)

@contextlib.contextmanager
def full(free):
    resource.setrlimit(resource.RLIMIT_NOFILE, (LIMIT, LIMIT))
    fds = []
    try:
        with contextlib.suppress(OSError):
            while True:
                fds.append(os.dup(0))
        for _ in range(free):
            os.close(fds.pop())
        yield
    finally:
        for fd in fds:
            os.close(fd)

async def main(host, domid, image, call):
    domid = int(domid)
    async with Context("simxen", host) as ctx:
        config = await ctx.retrieve_config(domid)
        with open(image, "w+b") as file:
            fd = file.fileno()
            calls = {
                "suspend": lambda: ctx.domain_suspend(domid, fd),
                "restore": lambda: ctx.domain_restore(fd, config=config, name="copy"),
                "list_jobs": ctx.list_jobs,
                "recover": ctx.recover,
                "abort_job": lambda: ctx.abort_job(f"save-{domid}-000000"),
                "job_report": lambda: ctx.job_report(f"save-{domid}-000000"),
                "destroy": lambda: ctx.domain_destroy(domid + 1),
            }
            job = await ctx.domain_suspend(domid, fd)
            with contextlib.suppress(JobError):
                await job.cancel()
                await job
            for free in range(7):
                job = None
                with full(free):
                    try:
                        job = await calls[call]()
                        print("done")
                    except LibxlpyError as exc:
                        print(exc)
                if hasattr(job, "cancel"):
                    await job.cancel()
                    break

asyncio.run(main(*sys.argv[1:]))
"""

CALLS = (
    *("suspend", "restore", "list_jobs", "recover", "abort_job", "job_report"),
    "destroy",
)


@pytest.mark.parametrize("call", CALLS)
def test_a_call_ends_in_an_error_that_says_so(
    host: Path, tmp_path: Path, call: str
) -> None:
    guest = Guest(host, "pv")
    words = [str(host), str(guest.domid), str(tmp_path / "image"), call]
    done = subprocess.run(
        [sys.executable, "-c", CALLER, *words],
        cwd=ROOT,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    first = done.stdout.splitlines()[0]
    assert "Too many open files; the limit is 80: raise it (ulimit -n)" in first
    facts = guest.facts()
    assert not facts["shutdown"]
    guest.destroy()
