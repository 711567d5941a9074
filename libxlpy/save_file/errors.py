"""Why a save file can't be written."""

from pathlib import Path

from libxlpy_protocol.errors import LibxlpyError


class SaveFileError(LibxlpyError):
    """A save file can't be written.

    Attributes:
        path: The file as the caller named it.
        reason: What is in the way, and what to do about it.
        errno: Of the failed call; None if no call failed.
        in_place: The whole file is there under its name, but its directory could not
            be brought to the disk: a power cut may bring the old file back.
    """

    def __init__(
        self,
        path: Path,
        reason: str,
        errnoval: int | None = None,
        *,
        in_place: bool = False,
    ) -> None:
        what = "is whole, but its directory may not be on the disk"
        text = (
            f"{path} {what}: {reason}" if in_place else f"can't write {path}: {reason}"
        )
        super().__init__(text)
        self.path = path
        self.reason = reason
        self.errno = errnoval
        self.in_place = in_place


class FileInUseError(SaveFileError):
    """Another process is writing it."""
