"""Figures of a job under way, as they lie in the file that proves its process's life.

That is open and on a tmpfs, so to write them costs no descriptor and waits for no disk.
They are a courtesy: what can't be read is not there, and nothing is decided by them.
"""

import json
from typing import Final

from libxlpy.results.figures import JobFigures
from libxlpy_protocol.json_text import parse_object

#: Bytes, always: what was there before is written over.
SIZE: Final = 1024
#: No figure is larger.
MOST: Final = 1 << 63
#: Those that may be None, as not known.
NAMES: Final = {name: each is None for name, each in vars(JobFigures()).items()}
WHOLE: Final = frozenset({"iteration", "transferred", "total", "remaining"})


def encode(figures: JobFigures) -> bytes:
    """Give them as they are written."""
    return json.dumps(vars(figures)).encode().ljust(SIZE - 1) + b"\n"


def decode(data: bytes) -> JobFigures | None:
    """Read them; None if there are none, or they are not whole."""
    try:
        value = parse_object(data)
    except ValueError:
        return None
    if value.keys() != NAMES.keys():
        return None
    if not all(_fits(name, each) for name, each in value.items()):
        return None
    return JobFigures(**value)


def _fits(name: str, value: object) -> bool:
    if value is None:
        return NAMES[name]
    kinds = (int,) if name in WHOLE else (int, float)
    return type(value) in kinds and 0 <= value < MOST  # type: ignore[operator]
