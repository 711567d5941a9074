"""Either end of a migration dies, or its helper, at each step: where the guest is then.

One copy runs; or none does, and what is written down says that both ends must be looked
at. Never two.
"""

import asyncio
import json
import signal
import socket
import subprocess
import sys
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from libxlpy import Context, DomainInfo, Outcome, Recovered
from tests.fault.deaths import helpers_gone
from tests.fault.sweep import DEADLINES
from tests.support.guest import Guest

DYING = Path(__file__).with_name("dying_migration.py")
#: Seconds for both ends; a bound, not a measure.
PATIENCE = 100
SENDER = (
    *("spawn", "hello", "start", "libxc", "suspend", "suspended", "end", "complete"),
    *("settle", "received", "name", "go", "report", "moved"),
)
RECEIVER = (
    *("spawn", "hello", "start", "libxc", "end", "complete", "settle", "launch"),
    *("received", "go", "unpause"),
)
#: What the handshake needs.
CONNECTIONS = {"xl": 1, "own": 2}
#: What an end that lives says of it, and in our handshake the other one, too.
WHY = {"helper": "helper died: signal SIGKILL", "job": "cancelled"}
#: Phases of a sender that dies in which nobody can know who has the guest.
IN_DOUBT = ("go", "report")


def runs(info: DomainInfo) -> bool:
    return not (info.paused or info.shutdown)


@dataclass
class Ends:
    """What is left at both ends, once what can be recovered is."""

    here: list[DomainInfo]
    there: list[DomainInfo]
    recovered: list[Recovered]
    #: What each has said of its end; "" if it died.
    sender: str
    receiver: str

    @property
    def running(self) -> int:
        return sum(map(runs, [*self.here, *self.there]))

    @property
    def is_said(self) -> bool:
        """Somebody is told that both ends must be looked at."""
        return any(found.outcome is Outcome.OPEN for found in self.recovered)


def migrate(
    guest: Guest, there: Path, connections: int, **death: Any
) -> tuple[str, str]:
    """Have both ends run to their ends; give those, "" if it died."""
    with ExitStack() as stack:
        pairs = [socket.socketpair() for _ in range(connections)]
        ones, others = (
            [stack.enter_context(sock).fileno() for sock in socks]
            for socks in zip(*pairs, strict=True)
        )
        send = {"role": "send", "host": str(guest.host), "domid": guest.domid}
        receive = {"role": "receive", "host": str(there)}
        role = death.pop("role")
        ends = [
            start({**plan, "fds": fds, **(death if dies else {})})
            for plan, fds, dies in (
                (send, ones, role == "send"),
                (receive, others, role == "receive"),
            )
        ]
    said = [end.communicate(timeout=PATIENCE) for end in ends]
    for end, (_, errors) in zip(ends, said, strict=True):
        assert end.returncode in (0, -signal.SIGKILL), errors
    return said[0][0].strip(), said[1][0].strip()


def start(plan: dict[str, Any]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(DYING), json.dumps(plan)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        pass_fds=plan["fds"],
        text=True,
    )


def left(host: Path, there: Path, said: tuple[str, str]) -> Ends:
    """Recover at both ends; give what is left."""

    async def work(folder: Path) -> tuple[list[Recovered], list[DomainInfo]]:
        async with Context("simxen", folder, DEADLINES) as ctx:
            return await ctx.recover(), await ctx.list_domains()

    helpers_gone()
    recovered_here, here = asyncio.run(work(host))
    recovered_there, there_now = asyncio.run(work(there))
    return Ends(here, there_now, [*recovered_here, *recovered_there], *said)


@pytest.fixture(params=["xl", "own"])
def handshake(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def ends_after(host: Path, there: Path, handshake: str, **death: str) -> Ends:
    """Have one end die; give what is left at both, which is never two that run."""
    with Guest(host, "hvm") as guest:
        said = migrate(guest, there, CONNECTIONS[handshake], **death)
        ends = left(host, there, said)
        here = [info for info in ends.here if info.domid == guest.domid]
        ends = replace(ends, here=here)
        assert ends.running < 2, ends
        assert ends.running == 1 or ends.is_said, ends
        if here and not here[0].shutdown:
            assert here[0].name == guest.name, ends
        for info in ends.there:
            names = [guest.name] if runs(info) else [f"{guest.name}--incoming"]
            assert info.name in names, ends
        if handshake == "own" and all(said):  # each could tell the other
            assert len(here) + len(ends.there) == 1, ends
            assert not ends.recovered, ends
            assert sum(WHY[death["who"]] in each for each in said) in (0, 2), ends
    return ends


@pytest.mark.parametrize(
    ("at", "who"),
    [
        *((at, "self") for at in SENDER),
        *((at, "helper") for at in ("suspended", "complete", "received", "go")),
        *((at, "job") for at in ("libxc", "received", "name")),
    ],
)
def test_sender_dies(host: Path, other_host: Path, handshake: str, at: str, who: str):
    ends = ends_after(host, other_host, handshake, role="send", at=at, who=who)
    assert ends.running == 1 or at in IN_DOUBT, ends
    assert at != "moved" or ends.here == [], ends


@pytest.mark.parametrize(
    ("at", "who"),
    [
        *((at, "self") for at in RECEIVER),
        *((at, "helper") for at in ("libxc", "complete")),
        *((at, "job") for at in ("libxc", "complete")),
    ],
)
def test_receiver_dies(host: Path, other_host: Path, handshake: str, at: str, who: str):
    ends_after(host, other_host, handshake, role="receive", at=at, who=who)
