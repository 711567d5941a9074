"""A file is brought to the disk, where its file system knows how."""

import errno
import os
from pathlib import Path

import pytest

from libxlpy_helper import save


@pytest.mark.parametrize("error", [errno.EOPNOTSUPP, errno.EIO])
def test_a_file_system_without_fsync_is_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: int
) -> None:
    def fsync(_fd: int) -> None:
        raise OSError(error, os.strerror(error))

    monkeypatch.setattr(os, "fsync", fsync)
    with (tmp_path / "image").open("wb") as file:
        if error == errno.EOPNOTSUPP:
            save._flush(file.fileno())
        else:
            with pytest.raises(OSError, match="Input/output"):
                save._flush(file.fileno())
