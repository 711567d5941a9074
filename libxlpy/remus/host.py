"""The host of a backup, as its primary knows it."""

from libxlpy.migration.channel import Reach
from libxlpy.migration.greeting import Connect
from libxlpy.migration.hooks import MigrationHooks
from libxlpy_protocol.value import Value


class BackupHost(Value, kw_only=True):
    """How a backup is reached, and what is done before and after."""

    #: Gives a descriptor that leads to a :class:`.Landing`, by its name; stays yours.
    connect: Connect
    #: Has the backup be there, once nothing here is in the way.
    reach: Reach | None = None
    #: Configuration to be used there, libxl's JSON; None for the domain's own.
    config: bytes | None = None
    #: Shell's words that run a command there, for ``xlpy recover``.
    reached_by: str = ""
    #: Executables to be run before and after it.
    hooks: MigrationHooks | None = None
