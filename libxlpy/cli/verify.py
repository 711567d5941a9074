"""`xlpy verify`: is a file a whole and sound saved domain?"""

import os
from pathlib import Path
from typing import Any

from libxlpy.cli.saved import named, open_saved
from libxlpy.cli.terminal.outcome import GOOD, CommandFailed
from libxlpy.cli.terminal.output import one_line, size_text
from libxlpy.cli.terminal.settings import Settings
from libxlpy.streams import StreamRuleBroken, Summary, verify
from libxlpy.streams.xl import config_name
from libxlpy_protocol.xen import PAGE_SIZE


def verify_file(settings: Settings, path: Path, *, json: bool) -> int:
    """Check a file and say what is in it, or what is wrong with it."""
    fd = open_saved(settings.out, path)
    try:
        with named(path):
            summary = verify(fd)
        name = config_name(summary.xl)
    except StreamRuleBroken as exc:
        if json:
            settings.out.json(_failure(path, exc))
        raise CommandFailed(f"{path}: {exc}") from exc
    finally:
        os.close(fd)
    if json:
        settings.out.json(_facts(path, summary, name))
    else:
        for line in _lines(path, summary, name):
            settings.out.fact(line)
    return GOOD


def _failure(path: Path, exc: StreamRuleBroken) -> dict[str, Any]:
    return {
        "file": str(path),
        "valid": False,
        "piece": exc.piece,
        "offset": exc.offset,
        "reason": exc.reason,
    }


def _facts(path: Path, summary: Summary, name: str | None) -> dict[str, Any]:
    assert summary.xl is not None
    assert summary.libxc is not None
    major, minor = summary.libxc.xen_version
    return {
        "file": str(path),
        "valid": True,
        "bytes": summary.size,
        "name": name,
        "config_bytes": len(summary.xl.config or b""),
        "config_is_json": summary.xl.config_is_json,
        "domain_type": summary.libxc.domain_type,
        "image_version": summary.libxc.version,
        "xen_version": f"{major}.{minor}",
        "pages": summary.pages,
        "records": dict(summary.records),
    }


def _lines(path: Path, summary: Summary, name: str | None) -> list[str]:
    facts = _facts(path, summary, name)
    kind = "JSON" if facts["config_is_json"] else "text"
    config = f"{kind}, {facts['config_bytes']:,} bytes"
    if not facts["config_bytes"]:
        config = "none"
    memory = size_text(summary.pages * PAGE_SIZE)
    records = sum(summary.records.values())
    return [
        f"{one_line(str(path))}: valid, {summary.size:,} bytes",
        f"  name           {one_line(name) if name else '(none)'}",
        f"  configuration  {config}",
        f"  domain         {facts['domain_type']}, saved by Xen {facts['xen_version']}",
        f"  memory         {summary.pages:,} pages, {memory}",
        f"  records        {records:,}, libxc image version {facts['image_version']}",
    ]
