"""A save file is opened beside the loop."""

import asyncio
import os
from pathlib import Path

import pytest

from libxlpy.save_file import SaveFile

pytestmark = pytest.mark.usefixtures("nothing_blocks")


async def test_save_file_is_opened_and_put_in_its_place_beside_the_loop(tmp_path: Path):
    path = tmp_path / "web.save"
    file = await SaveFile.when_free(path, b"head")
    await asyncio.to_thread(file.commit)
    file.close()
    assert await asyncio.to_thread(path.read_bytes) == b"head"


async def test_save_file_whose_opener_is_cancelled_is_not_left(tmp_path: Path):
    path = tmp_path / "web.save"
    opening = asyncio.create_task(SaveFile.when_free(path, b"head"))
    await asyncio.sleep(0)
    opening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await opening
    assert await asyncio.to_thread(os.listdir, tmp_path) == []
