"""The configuration that goes with a domain: its own, or one from a file."""

import json as json_text
import os
from pathlib import Path
from typing import Any

from libxlpy import Context
from libxlpy.cli.saved import open_saved
from libxlpy.cli.terminal.outcome import CommandFailed, os_error_text
from libxlpy.cli.terminal.output import Output
from libxlpy_protocol.json_text import JsonError, parse, parse_object
from libxlpy_protocol.stream.formats import XL_CONFIG_MAX
from libxlpy_protocol.value import Value

#: What libxl's JSON consists of: no domain is made of one that lacks either.
PARTS = ("c_info", "b_info")


class Configuration(Value):
    """What is stored with the domain: ``text`` without NUL, JSON or xl's format."""

    text: bytes
    json: bool


async def stored(ctx: Context, domid: int) -> Configuration:
    """Give the configuration that the toolstack keeps of a domain."""
    return Configuration((await ctx.retrieve_config(domid)).rstrip(b"\0"), json=True)


def read_config(out: Output, path: Path) -> Configuration:
    """Read a configuration from a file: JSON if it is JSON, else xl's text.

    Raises:
        CommandFailed: It can't be read, or no reader would take it.
    """
    text = _read(out, path)
    if not text.strip():
        raise CommandFailed(f"configuration {path} is empty")
    if b"\0" in text:
        raise CommandFailed(f"configuration {path} holds a NUL: it is no text")
    try:
        text.decode()
    except UnicodeDecodeError as exc:
        raise CommandFailed(f"configuration {path} is not UTF-8") from exc
    try:
        parse_object(text)
    except JsonError:
        if not _meant_as_json(text):
            return Configuration(text, json=False)
    return checked_json(text, str(path))


def checked_json(text: bytes, path: str) -> Configuration:
    """Give a configuration that is JSON.

    Raises:
        CommandFailed: It is not, or none of libxl's.
    """
    try:
        parsed = parse_object(text)
    except JsonError as exc:
        raise CommandFailed(f"configuration {path} can't be used: {exc}") from exc
    _check_parts(path, parsed)
    return Configuration(text, json=True)


def _read(out: Output, path: Path) -> bytes:
    try:
        with os.fdopen(open_saved(out, path), "rb") as file:
            text = file.read(XL_CONFIG_MAX + 1)
    except OSError as exc:
        raise CommandFailed(f"can't read configuration {os_error_text(exc)}") from exc
    if len(text) > XL_CONFIG_MAX:
        raise CommandFailed(
            f"configuration {path} is larger than {XL_CONFIG_MAX} bytes: "
            "give a smaller one"
        )
    return text


def _check_parts(path: str, parsed: dict[str, Any]) -> None:
    for part in PARTS:
        if not isinstance(parsed.get(part), dict):
            reason = f"it is JSON, but none of libxl's: it has no {part}"
            raise CommandFailed(f"configuration {path} can't be used: {reason}")


def with_domid(config: Configuration, domid: int) -> Configuration:
    """Store the domid in a configuration, as `xl save -D` does.

    Source: Xen, tools/xl/xl_saverestore.c, save_domain_core_begin().
    """
    try:
        parsed = parse_object(config.text)
    except JsonError as exc:
        text = f"-D needs a JSON configuration to store the domid in: {exc}"
        raise CommandFailed(text) from exc
    created = parsed.setdefault("c_info", {})
    if not isinstance(created, dict):
        raise CommandFailed("-D needs a JSON configuration to store the domid in")
    created["domid"] = domid
    return Configuration(json_text.dumps(parsed, indent=4).encode() + b"\n", json=True)


def _meant_as_json(text: bytes) -> bool:
    """Say whether a text can't be xl's format, whatever it is."""
    try:
        parse(text)
    except JsonError:
        return text.lstrip().startswith((b"{", b"["))
    return True
