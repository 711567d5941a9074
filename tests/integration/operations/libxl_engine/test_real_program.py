"""Debian's libxl-save-helper itself, as it comes, with libsimxen in libxc's place."""

import os
import subprocess
from pathlib import Path

import pytest

from libxlpy import Cancelled, Context, GuestState, JobError, SuspendFlags
from libxlpy.simxen.client import request
from libxlpy_helper.xen import library
from tests.support.guest import Guest, aside
from tests.support.libxl_helpers import program
from tests.support.xen_packages import xen_of

SOURCE = Path(__file__).with_name("set_host.c")
LIBRARIES = ("libxenctrl", "libxenguest")
SIMXEN = Path(library.__file__).parents[1] / "libsimxen.so"
WRAPPER = """#!/bin/sh
LD_LIBRARY_PATH={ours}:{theirs} exec {program} "$@"
"""


@pytest.fixture
def xens_own(host: Path, tmp_path: Path) -> str:
    """Xen's helper of 4.17 on the host."""
    xen = xen_of("bookworm")
    for name in LIBRARIES:
        soname = f"{name}.so.{xen.version}"
        names = [f'-DHOST="{host}"', f"-Wl,-soname,{soname}", "-o", tmp_path / soname]
        command = ["cc", "-shared", "-fPIC", "-Wl,--no-as-needed", SOURCE, SIMXEN]
        subprocess.run([*command, *names], check=True)
    # Their other libraries only: libxenctrl and libxenguest come first from us.
    text = WRAPPER.format(ours=tmp_path, theirs=xen.lib, program=xen.save_helper)
    return program(tmp_path / "libxl-save-helper", text)


@pytest.mark.parametrize("flags", [SuspendFlags(0), SuspendFlags.LIVE])
async def test_saved_guest_comes_back_page_for_page(
    ctx: Context, guest: Guest, xens_own: str, flags: SuspendFlags, tmp_path: Path
):
    config = await ctx.retrieve_config(guest.domid)
    with (tmp_path / "image").open("w+b") as file:
        result = await (
            await ctx.domain_suspend(guest.domid, file.fileno(), flags, helper=xens_own)
        )
        logs = result.report.log_lines
        assert "debug: libxl-save-helper: starting save" in logs
        assert "debug: libxl-save-helper: complete r=0" in logs
        assert result.guest is GuestState.SUSPENDED
        saved = await aside(guest.verify)
        os.lseek(file.fileno(), 0, os.SEEK_SET)
        restored = await (
            await ctx.domain_restore(
                file.fileno(), config=config, name=f"{guest.name}-re", paused=True
            )
        )
    again = request(guest.host, "verify", domid=restored.domid)
    assert again["digest_memory"] == saved["digest_memory"]
    assert again["match"]
    await ctx.domain_destroy(restored.domid)
    await ctx.domain_resume(guest.domid)
    await aside(guest.assert_untouched)


async def test_dead_receiver_is_an_error_not_its_death(
    ctx: Context, guest: Guest, xens_own: str
):
    read_fd, write_fd = os.pipe()
    job = await ctx.domain_suspend(
        guest.domid, write_fd, SuspendFlags.LIVE, helper=xens_own
    )
    async for event in job.events():
        if getattr(event, "name", "") == "libxc":
            break
    os.close(read_fd)
    with pytest.raises(JobError, match="EPIPE") as caught:
        await job
    os.close(write_fd)
    assert caught.value.guest is GuestState.RUNNING
    await aside(guest.assert_untouched)


@pytest.mark.parametrize("phase", ["libxc", "suspend"])
async def test_cancel_lets_libxc_clean_up(
    ctx: Context, guest: Guest, xens_own: str, phase: str
):
    if phase == "suspend":
        guest.misbehave("never_ack", once=True)
    read_fd, write_fd = os.pipe()
    flags = SuspendFlags.LIVE if phase == "libxc" else SuspendFlags(0)
    job = await ctx.domain_suspend(guest.domid, write_fd, flags, helper=xens_own)
    async for event in job.events():
        if getattr(event, "name", "") == phase:
            break
    await job.cancel()
    with pytest.raises(Cancelled) as caught:
        await job
    os.close(write_fd)
    os.close(read_fd)
    assert caught.value.guest is GuestState.RUNNING
    await aside(guest.assert_untouched)
