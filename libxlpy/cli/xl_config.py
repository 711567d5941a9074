"""A configuration in xl's text format, as `xl` itself reads it."""

import os
import subprocess
from pathlib import Path

from libxlpy.aio import aside
from libxlpy.cli.config import Configuration, checked_json
from libxlpy.cli.terminal.outcome import CommandFailed
from libxlpy_protocol.fields import one_line

#: Seconds for `xl` to read it.
WITHIN = 30.0


async def as_json(config: Configuration, path: Path) -> Configuration:
    """Give a configuration in libxl's JSON.

    Args:
        config: As it was read.
        path: From where, for messages.

    Raises:
        CommandFailed: `xl` is not here, or does not take it.
    """
    if config.json:
        return config
    what = f"configuration {path} is in xl's text format"
    import shutil  # with all that compresses

    xl = shutil.which("xl")
    if xl is None:
        raise CommandFailed(f"{what}, and here is no `xl` to read it: give JSON")
    try:
        done = await aside(lambda: _dry_run(xl, config.text), WITHIN + 1)
    except (TimeoutError, subprocess.TimeoutExpired) as exc:
        text = f"{what}: `xl create --dryrun` took longer than {WITHIN:g} s"
        raise CommandFailed(text) from exc
    except OSError as exc:
        raise CommandFailed(f"{what}: {xl}: {exc.strerror}") from exc
    if done.returncode:
        said = done.stderr.decode("utf-8", "replace").strip().rpartition("\n")[2]
        text = one_line(said) or f"status {done.returncode}"
        raise CommandFailed(f"{what}, and `xl create --dryrun` refuses it: {text}")
    return checked_json(done.stdout, f"{path}, as `xl create --dryrun` gives it,")


def _dry_run(xl: str, text: bytes) -> "subprocess.CompletedProcess[bytes]":
    """Have `xl` read exactly what we have read; blocks."""
    fd = os.memfd_create("libxlpy-xl-config")
    try:
        os.write(fd, text)
        os.lseek(fd, 0, os.SEEK_SET)
        return subprocess.run(
            [xl, "create", "-q", "--dryrun", f"/dev/fd/{fd}"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            pass_fds=[fd],
            timeout=WITHIN,
            check=False,
        )
    finally:
        os.close(fd)
