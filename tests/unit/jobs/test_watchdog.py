"""Deadlines pass once each, by name, and not before their time."""

import asyncio

import pytest

from libxlpy.jobs.watchdog import Watchdog

pytestmark = pytest.mark.usefixtures("nothing_blocks")


async def passed(*arms: tuple[str, float], until: int) -> list[str]:
    """Arm deadlines and give the names of the first few that pass."""
    done = asyncio.Event()
    names: list[str] = []

    def expired(name: str, seconds: float) -> None:
        names.append(name)
        if len(names) == until:
            done.set()

    watchdog = Watchdog(expired)
    for name, seconds in arms:
        watchdog.arm(name, seconds)
    await done.wait()
    watchdog.close()
    return names


async def test_nearest_passes_first_whatever_the_order_of_arming():
    assert await passed(("b", 0.04), ("a", 0.01), until=2) == ["a", "b"]
    assert await passed(("a", 0.01), ("b", 0.04), until=2) == ["a", "b"]


async def test_disarmed_and_unbounded_ones_never_pass():
    seen: list[str] = []
    watchdog = Watchdog(lambda name, seconds: seen.append(name))
    watchdog.arm("never", None)
    watchdog.arm("gone", 0.01)
    watchdog.disarm("gone")
    assert await passed(("later", 0.05), until=1) == ["later"]
    watchdog.close()
    assert seen == []


async def test_armed_again_starts_anew():
    loop = asyncio.get_running_loop()
    passed_at: asyncio.Future[float] = loop.create_future()
    watchdog = Watchdog(lambda name, seconds: passed_at.set_result(loop.time()))
    watchdog.arm("heartbeat", 0.05)
    assert await passed(("other", 0.03), until=1) == ["other"]
    again = loop.time()
    watchdog.arm("heartbeat", 0.05)
    assert await passed_at >= again + 0.05


async def test_second_look_lets_a_late_sign_of_life_count():
    seen: list[str] = []
    watchdog = Watchdog(lambda name, seconds: seen.append(name))
    watchdog.arm("heartbeat", 0.02, looks=2)
    assert await passed(("other", 0.06), until=1) == ["other"]
    assert seen == []  # its time is over, but it gets a second look
    watchdog.arm("heartbeat", 60.0, looks=2)
    watchdog.close()
    assert seen == []
