"""A toolstack dies while its host has made a domain to restore into: none is left."""

import asyncio
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fault.deaths import recover
from tests.fault.restoring import domids, image_of
from tests.support.simxen_clients import until
from tests.support.victim import Victim

TOOLSTACK = """
import asyncio, os, signal, sys
from pathlib import Path
from libxlpy import Context
from libxlpy.jobs import registry
from libxlpy.recovery.claim import Claim
from libxlpy.domain.toolstack_simxen import Building

def die(*args, **kept):
    os.kill(os.getpid(), signal.SIGKILL)

async def main(host, config, image, place):
    where, name = {
        "before its claim": (registry, "claim"),
        "before the journal": (Claim, "begin"),
        "behind the journal": (Building, "keep"),
        "kept": (Building, "let_go"),
    }[place]
    setattr(where, name, die)
    async with Context("simxen", host) as ctx:
        with open(image, "rb") as file:
            config = Path(config).read_bytes()
            job = await ctx.domain_restore(file.fileno(), config=config, name="copy")
            await job

asyncio.run(main(*sys.argv[1:]))
"""


@pytest.mark.parametrize(
    "place", ["before its claim", "before the journal", "behind the journal", "kept"]
)
def test_dead_one_leaves_no_domain(
    pv_victim: Victim, tmp_path: Path, place: str
) -> None:
    image, config = tmp_path / "image", tmp_path / "config"
    config.write_bytes(asyncio.run(image_of(pv_victim, image)))
    before = domids(pv_victim)
    host = str(pv_victim.directory)
    words = [sys.executable, "-c", TOOLSTACK, host, str(config), str(image), place]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    if place == "kept":
        [made] = domids(pv_victim) - before
        [found] = recover(pv_victim)
        assert found.domid == made
    else:
        until(lambda: domids(pv_victim) == before)
        recover(pv_victim)
    assert domids(pv_victim) == before
    assert not list((pv_victim.directory / "jobs").iterdir())
