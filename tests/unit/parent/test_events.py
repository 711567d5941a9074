"""Events of a job, and how much of them a slow reader loses."""

import asyncio
from pathlib import Path

import pytest

from libxlpy import backend, errors
from libxlpy.domain import toolstack_simxen as configuration
from libxlpy.events import MAX_BEHIND, EventFeed, PhaseEvent
from libxlpy.process.link import last_line


async def test_slow_reader_loses_the_oldest_events_only():
    feed = EventFeed()
    reader = feed.subscribe()
    for number in range(MAX_BEHIND + 5):
        feed.publish(PhaseEvent(str(number), 0.0))
    feed.close()
    names = [event.name async for event in reader if isinstance(event, PhaseEvent)]
    assert names == [str(number) for number in range(5, MAX_BEHIND + 5)]


def test_last_line_skips_empty_ones():
    assert last_line("a\nb\n\n  \n") == "b"
    assert last_line("") == ""


async def test_configuration_kept_by_xen_is_read_beside_the_loop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(backend, "XEN_LIB_DIR", tmp_path)
    where = backend.Backend("xen", None, tmp_path, tmp_path, tmp_path)
    await asyncio.to_thread(where.userdata_path(7, "u").write_bytes, b"{}\n\0")
    assert await configuration.stored_config(where, 7, "u") == b"{}\n\0"
    with pytest.raises(errors.BackendError, match="no configuration of domain 8"):
        await configuration.stored_config(where, 8, "u")
