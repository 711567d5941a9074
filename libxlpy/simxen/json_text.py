"""Where one JSON text ends in a stream: QMP puts nothing between two of them.

Source: QEMU, qobject/json-streamer.c.
"""

import re

#: A whole string, a bracket, or the quote of a string that is not whole yet.
_TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*"|[\[{]|[\]}]|"', re.DOTALL)


def json_end(data: bytes) -> int:
    """Give where the JSON text at the start of some bytes ends; 0 if it goes on.

    What does not begin with a bracket ends with its line: it is no QMP message.
    """
    if not data.startswith((b"{", b"[")):
        return data.find(b"\n") + 1
    depth = 0
    for token in _TOKEN.finditer(data):
        depth += _DEPTH.get(token[0], 0)
        if not depth:
            return token.end()
        if token[0] == b'"':
            return 0
    return 0


_DEPTH = {b"{": 1, b"[": 1, b"}": -1, b"]": -1}
