"""All who read saved domains give one answer, but for what docs/files.md says."""

import asyncio
import contextlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from libxlpy import Context, JobError
from libxlpy.simxen.client import request
from libxlpy.streams.xl import pack_header
from tests.support.grammar_cases import Case, cases_of
from tests.support.grammar_changes import KEYS
from tests.support.guest import Guest, aside
from tests.support.saved_file import SavedFile, kind_of
from tests.support.shell import ROOT, environment
from tests.support.xen_packages import xen_of

#: Has Xen's verifier read each case of a file; tells which it takes.
VERIFY = """
import io, json, runpy, sys
from pathlib import Path
from tests.support.grammar_cases import cases_of
from tests.support.saved_file import SavedFile
tool, path = sys.argv[1:]
read_stream = runpy.run_path(tool)["read_stream"]
shared = read_stream.__globals__
shared["quiet"] = True
data = Path(path).read_bytes()
taken = {}
for name, case in cases_of(SavedFile.of(data).pv).items():
    file = SavedFile.of(data)
    case.change(file)
    shared["fin"] = io.BytesIO(file.xl + file.stream)
    taken[name] = read_stream("xl") == 0
print(json.dumps(taken))
"""


@pytest.fixture
async def image(ctx: Context, guest: Guest, tmp_path: Path) -> tuple[Path, bytes]:
    """Give a file as `xlpy save` writes it, and its configuration."""
    config = await ctx.retrieve_config(guest.domid)
    path = tmp_path / "image"
    with path.open("wb") as file:
        await aside(file.write, pack_header(config, json=True))
        await aside(file.flush)
        await (await ctx.domain_suspend(guest.domid, file.fileno()))
    return path, config


def changed(path: Path, case: Case) -> SavedFile:
    file = SavedFile.of(path.read_bytes())
    case.change(file)
    return file


async def test_a_restore_takes_what_verify_does(
    ctx: Context, host: Path, guest: Guest, image: tuple[Path, bytes]
) -> None:
    """From a pipe: of a file, the grammar of `verify` is asked first."""
    path, config = image
    wrong = {}
    for name, case in cases_of(guest.kind == "pv").items():
        reason = await restored(ctx, path, case, config)
        if (reason == "") is not case.taken(case.simxen):
            wrong[name] = reason
    assert wrong == {}
    assert "case" not in {each["name"] for each in request(host, "list")["domains"]}


async def restored(ctx: Context, path: Path, case: Case, config: bytes) -> str:
    """Restore from a pipe; give what was wrong, "" if nothing was."""
    reading, writing = os.pipe()
    feed = asyncio.create_task(asyncio.to_thread(_feed, writing, path, case))
    try:
        result = await (await ctx.domain_restore(reading, config=config, name="case"))
    except JobError as exc:
        return str(exc)
    finally:
        os.close(reading)
        await feed
    await ctx.domain_destroy(result.domid)
    return ""


def _feed(fd: int, path: Path, case: Case) -> None:
    left = memoryview(changed(path, case).stream)
    with contextlib.suppress(BrokenPipeError):
        while left:
            left = left[os.write(fd, left) :]
    os.close(fd)


async def test_xens_own_verifier_does_too(
    guest: Guest, image: tuple[Path, bytes]
) -> None:
    path, _ = image
    assert await aside(_disagreed, path, guest.kind == "pv") == []


def _disagreed(path: Path, pv: bool) -> list[str]:
    """Give the cases in which Xen's verifier does not do what it should."""
    taken = _taken(path)
    cases = cases_of(pv)
    assert taken.keys() == cases.keys()
    return [n for n, case in cases.items() if taken[n] is not _may_take(path, case)]


def _may_take(path: Path, case: Case) -> bool:
    if any(kind_of(raw) == KEYS for raw in changed(path, case).after if raw):
        return False  # Python 3: bytes are compared with text
    return case.taken(case.xen)


def _taken(path: Path) -> dict[str, bool]:
    xen = xen_of("bookworm")
    library = xen.save_helper.parents[1] / "lib" / "python"
    paths = [str(ROOT), environment()["PYTHONPATH"], str(library)]
    done = subprocess.run(
        [sys.executable, "-c", VERIFY, xen.verify_stream, path],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
    )
    taken: dict[str, bool] = json.loads(done.stdout)
    return taken
