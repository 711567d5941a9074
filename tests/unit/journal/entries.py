"""Entries of jobs as the journal has them."""

import os
from pathlib import Path

from libxlpy.journal import Entry, Identity, Stream
from libxlpy.results.report import GuestFacts


def entry(**fields):
    with Path(os.devnull).open("wb") as null:
        stream = Stream.of(null.fileno())
    fixed = {
        "job": "save-7-abcdef",
        "kind": "save",
        "what": "save of domain 7",
        "domid": 7,
        "uuid": "12345678-1234-4234-8234-123456789abc",
        "type": "hvm",
        "on_parent_loss": "finish",
        "since": 1.5,
        "parent": Identity.own(),
        "stream": stream,
        "state_path": "/x",
        "guest": GuestFacts(),
    }
    return Entry(**{**fixed, **fields})
