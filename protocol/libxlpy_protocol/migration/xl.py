"""The words of xl's migration handshake, which share one connection with the stream.

Source: Xen, tools/xl/xl_migrate.c and xl.h.
"""

from collections.abc import Mapping
from typing import Final

from libxlpy_protocol.migration.handshake import Word

#: Receiver: is there.
READY: Final = b"xl migration receiver ready, send binary domain data.\n"
#: Receiver: has a whole copy, paused.
RECEIVED: Final = b"domain received, ready to unpause\0"
#: Sender: the copy may run. The receiver says it, too: the sender's guest may.
GO: Final = b"domain is yours, you are cleared to unpause\0"
#: Receiver: what has become of its copy; one byte of status follows.
REPORT: Final = b"my copy unpause results are as follows\0"
#: Status: it runs.
RUNS: Final = 0
#: Status in place of any other.
DOES_NOT_RUN: Final = 0xFF

#: What each word is; xl has none for what is missing here.
TEXTS: Final[Mapping[Word, bytes]] = {
    Word.RECEIVED: RECEIVED,
    Word.GO: GO,
    Word.RUNS: REPORT + bytes([RUNS]),
    Word.DOES_NOT_RUN: REPORT + bytes([DOES_NOT_RUN]),
    Word.PERMISSION: GO,
}
