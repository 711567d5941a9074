"""The real helper, but it has the guest suspended, writes nothing and claims success.

Run as ``python -I idle_helper.py [the helper's own arguments]``.
"""

import sys

import libxlpy_helper.save
from libxlpy_helper.__main__ import main
from libxlpy_helper.operation import Operation
from libxlpy_protocol.messages import Suspend


def save(operation: Operation) -> None:
    operation.phase("libxc")
    assert operation.channel.ask_int(Suspend()) == 1


if __name__ == "__main__":
    libxlpy_helper.save.save = save
    main(sys.argv[1:])
