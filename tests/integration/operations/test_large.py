"""The largest guest that is promised."""

import os
from pathlib import Path

import pytest

from libxlpy import Context, GuestState, SuspendFlags
from libxlpy.simxen.client import request
from tests.support.victim import Victim

MEMORY_MIB = 8192
PAGES = MEMORY_MIB << 8


@pytest.mark.timeout(300)
async def test_guest_of_8_gib_is_saved_live(host: Path) -> None:
    wanted = {"type": "pv", "memory_mib": MEMORY_MIB, "rate": 2000, "fill": False}
    domid = request(host, "create", name="large", **wanted)["domid"]
    null = os.open("/dev/null", os.O_WRONLY)
    try:
        async with Context("simxen", host) as ctx:
            job = await ctx.domain_suspend(domid, null, SuspendFlags.LIVE)
            result = await job
            assert result.pages > PAGES  # all once, and what was written meanwhile
            assert result.guest is GuestState.SUSPENDED
            await ctx.domain_resume(domid)
            Victim(host, domid, "pv").assert_unharmed("resumed")
    finally:
        os.close(null)
        request(host, "destroy", domid=domid)
