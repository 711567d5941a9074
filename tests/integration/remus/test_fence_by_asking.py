"""The fence that asks the primary's host, run as its backup runs it."""

import shlex
import sys
from pathlib import Path

import pytest

from libxlpy import Context, Deadlines, HookFailed
from libxlpy.remus.fence import FenceExecutable, Lost, Primary
from tests.support.guest import Guest, aside
from tests.support.shell import XLPY, environment


def asking(tmp_path: Path, there: str) -> FenceExecutable:
    """Give the fence, and have a command be run where ssh would run it."""
    reach = tmp_path / "reach"
    reach.write_text(f"#!/bin/sh\nshift\n{there}\n")
    reach.chmod(0o755)
    path = tmp_path / "fence"
    module = f"{sys.executable} -m libxlpy.examples.fence_by_asking"
    paths = f"PYTHONPATH={environment()['PYTHONPATH']}"
    path.write_text(f'#!/bin/sh\n{paths} exec {module} {reach} primary "$@"\n')
    path.chmod(0o755)
    return FenceExecutable(path, "primary", Deadlines(fence=60.0))


def on(host: Path) -> str:
    """Give a shell's line that runs `xlpy` there."""
    paths = f"PYTHONPATH={environment()['PYTHONPATH']}"
    return f'shift; {paths} exec {shlex.join([*XLPY, "--host", str(host)])} "$@"'


async def test_guest_is_asked_for(
    tmp_path: Path, host: Path, pv: Guest, ctx: Context
) -> None:
    fence = await aside(asking, tmp_path, on(host))
    [facts] = [each for each in await ctx.list_domains() if each.domid == pv.domid]
    lost = Lost(facts.name, facts.uuid, 7, "")
    assert await fence(lost) is Primary.ALIVE
    assert await fence(lost.replace(name="other", uuid="none")) is Primary.GONE
    for another in (lost.replace(uuid="none"), None):
        if another is None:
            await ctx.domain_pause(pv.domid)
        with pytest.raises(HookFailed, match="is there, and does not run"):
            await fence(another or lost)


@pytest.mark.parametrize(
    ("there", "why"),
    [
        ("echo no route >&2; exit 255", "exit status 1"),
        ("echo []; exit 1", "exit status 1"),
        ("echo nonsense", "no list of domains"),
        ("echo '{}'", "no list of domains"),
        ("echo null", "no list of domains"),
        ("""echo '""'""", "no list of domains"),
        ("echo '[1]'", "no list of domains"),
        ("yes", "exit status"),
    ],
)
async def test_host_that_does_not_say(tmp_path: Path, there: str, why: str) -> None:
    fence = await aside(asking, tmp_path, there)
    with pytest.raises(HookFailed, match=why):
        await fence(Lost("web", "uuid", 7, ""))


async def test_guest_without_a_uuid_is_not_told_from_others(tmp_path: Path) -> None:
    fence = await aside(asking, tmp_path, "echo '[]'")
    assert await fence(Lost("web", "uuid", 7, "")) is Primary.GONE
    with pytest.raises(HookFailed, match="web has no uuid"):
        await fence(Lost("web", "", 7, ""))
