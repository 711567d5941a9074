"""A request to a host, and its answer: one JSON object a line."""

import json
from pathlib import Path
from typing import Any

from libxlpy.simxen.errors import HostNotRunning, SimxenError


def encode(do: str, fields: dict[str, Any]) -> bytes:
    """Give the line that asks for something."""
    return json.dumps({"do": do, **fields}).encode() + b"\n"


def decode(line: bytes, directory: Path) -> dict[str, Any]:
    """Give what a line answers.

    Raises:
        HostNotRunning: The line is not whole: the host has gone.
        SimxenError: The host has refused; it says why.
    """
    if not line.endswith(b"\n"):
        raise HostNotRunning(directory)
    answer: dict[str, Any] = json.loads(line)
    if not answer.pop("ok"):
        raise SimxenError(answer["error"])
    return answer
