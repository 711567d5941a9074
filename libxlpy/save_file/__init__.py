"""Write a save file so that its name never holds half a domain.

``SaveFile`` checks the target before anything is done to the guest, and all that the
end will need, writes the xl
header and configuration to ``NAME.partial``, hands out the descriptor for the stream,
and puts the file in its place only when every byte is on the disk:

    with SaveFile(path, head) as file:      # raises before the guest is touched
        ...                                 # the stream is written to file.fd
        file.commit()                       # fsync, rename, fsync of the directory

Without ``commit`` the partial file goes and the old NAME stays as it was. The partial
file is locked while it is written: that of a dead writer is replaced, that of a living
one is left alone. Targets that are no regular file (/dev/null, a pipe, a block device)
are written in place, as `xl save` does.
"""

from libxlpy.save_file.beside import ANSWER_WITHIN, bounded
from libxlpy.save_file.calls import lock, sync_folder
from libxlpy.save_file.errors import FileInUseError, SaveFileError
from libxlpy.save_file.file import PARTIAL_SUFFIX, SaveFile

__all__ = [
    "ANSWER_WITHIN",
    "PARTIAL_SUFFIX",
    "FileInUseError",
    "SaveFile",
    "SaveFileError",
    "bounded",
    "lock",
    "sync_folder",
]
