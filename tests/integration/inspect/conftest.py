"""Commands on a simxen host, as for the other commands."""

from tests.integration.cli.conftest import shell

__all__ = ["shell"]
