"""What goes wrong in simxen.

::

    LibxlpyError
     +- SimxenError        one line for the user: what, and what to do
         +- HostNotRunning  nobody answers in that directory
"""

import errno
import os

from libxlpy.backend import host_option
from libxlpy_protocol.errors import LibxlpyError


class SimxenError(LibxlpyError):
    """A request to a simxen host can't be done; the text names thing and remedy."""


class HostNotRunning(SimxenError):  # noqa: N818 - reads as the fact it is
    """No simxen host answers in a directory.

    Args:
        directory: Where one was expected.
    """

    def __init__(self, directory: object) -> None:
        super().__init__(
            f"no simxen host runs in {directory}: start one with "
            f"`xlpy {host_option(directory)}sim start`"
        )
        self.directory = directory


class HypercallError(Exception):
    """A hypercall fails.

    Args:
        number: errno that the caller gets.
    """

    def __init__(self, number: int) -> None:
        super().__init__(
            f"{errno.errorcode.get(number, number)}: {os.strerror(number)}"
        )
        self.number = number
