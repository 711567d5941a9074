"""The monitor of the loop's lag sees a long turn, and no other thread's work."""

import asyncio
import gc

import pytest

from tests.support.lag import UNIT, is_too_long, lag_watched


async def test_work_in_one_piece_is_seen(monkeypatch: pytest.MonkeyPatch):
    with lag_watched(monkeypatch) as lag:
        await asyncio.sleep(0)
        sum(range(UNIT * 6))
        await asyncio.sleep(0)
    assert is_too_long(lag.worst)


async def test_work_in_pieces_or_aside_is_not(monkeypatch: pytest.MonkeyPatch):
    with lag_watched(monkeypatch) as lag:
        await asyncio.to_thread(sum, range(UNIT * 6))
        for _ in range(300):
            sum(range(UNIT // 100))
            await asyncio.sleep(0)
    assert not is_too_long(lag.worst)


async def test_garbage_collection_is_not_counted(monkeypatch: pytest.MonkeyPatch):
    kept = [[] for _ in range(UNIT // 10)]
    with lag_watched(monkeypatch) as lag:
        await asyncio.sleep(0)
        for _ in range(30):
            gc.collect()
        await asyncio.sleep(0)
    assert not is_too_long(lag.worst), len(kept)
