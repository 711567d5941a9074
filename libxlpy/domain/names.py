"""What a domain is called while it moves: both ends may be one host.

Xen: tools/xl/xl_migrate.c.
"""

AWAY = "--migratedaway"
INCOMING = "--incoming"


def away(name: str) -> str:
    """Give the name of a domain that another host may have by now."""
    return name + AWAY


def incoming(name: str) -> str:
    """Give the name of a copy that does not run yet."""
    return name + INCOMING
