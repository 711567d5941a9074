"""What runs on this machine, written down for whoever comes after us.

``identity`` tells one process from a later one with its number, ``entry`` is what is
known of one job, ``life`` proves that its process lives, ``told`` is how far that says
it is, ``folder`` keeps the entries
and the locks of the domains.
"""

from libxlpy.journal.entry import Entry, Stream
from libxlpy.journal.folder import Folder, JournalBroken, Lock, Locked
from libxlpy.journal.identity import Identity
from libxlpy.journal.life import Life

__all__ = [
    "Entry",
    "Folder",
    "Identity",
    "JournalBroken",
    "Life",
    "Lock",
    "Locked",
    "Stream",
]
