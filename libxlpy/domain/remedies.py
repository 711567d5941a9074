"""What a person says to settle a migration that was left open, as messages have it."""

import shlex

#: Reaches a host if nothing else is said.
SSH = "ssh"


def both_asked(domain: str, reached_by: str) -> str:
    """Give the command that asks both hosts.

    Args:
        domain: Its own name, or its domid here.
        reached_by: Shell's words that run a command there, HOST last; "" if not known.
    """
    command, _, host = reached_by.rpartition(" ")
    how = "" if command in ("", SSH) else f"-s {shlex.quote(command)} "
    return f"`xlpy migrate --resolve {how}{shlex.quote(domain)} {host or 'HOST'}`"


def as_seen(domain: str) -> str:
    """Give the command of somebody who has looked at the other host."""
    return f"`xlpy migrate --resolve --runs here|there {shlex.quote(domain)}`"
