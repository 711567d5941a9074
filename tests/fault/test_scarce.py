"""A disk that is full or broken, no descriptors: nobody's guest stays suspended."""

import subprocess
import sys
from pathlib import Path

import pytest

from libxlpy.simxen.client import request
from libxlpy.streams import Format, walk_to_end
from libxlpy.streams.reader import read_xl_header
from tests.fault.deaths import recover
from tests.support.guest import Guest
from tests.support.shell import PATIENCE, ROOT, environment
from tests.support.victim import Victim

XLPY = Path(__file__).with_name("scarce_xlpy.py")


@pytest.mark.parametrize("phase", ["suspend", "suspended", "settle", "done"])
@pytest.mark.parametrize("what", ["ENOSPC", "EIO", "EMFILE"])
@pytest.mark.parametrize("option", ["-c", ""])
def test_save_ends_with_the_guest_looked_after(
    host: Path, tmp_path: Path, what: str, phase: str, option: str
):
    guest, path = Guest(host, "hvm"), tmp_path / "image"
    options = [option] if option else []
    done = subprocess.run(
        [
            *(sys.executable, str(XLPY), what, phase, "--host", str(host)),
            *("save", *options, guest.name, str(path)),
        ],
        cwd=ROOT,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    said = f"{done.returncode}: {done.stderr}"
    assert done.returncode in (0, 1), said
    assert "Traceback" not in done.stderr, said
    assert "bug in" not in done.stderr, said
    assert "defect" not in done.stderr, said
    if done.returncode == 0:
        assert_whole(path)
    domids = {each["domid"] for each in request(host, "list")["domains"]}
    if guest.domid not in domids:
        assert (option, done.returncode) == ("", 0), said
        return
    found = recover(Victim(host, guest.domid, "hvm"))
    facts = guest.facts()
    assert not facts["shutdown"], f"{said} {found}"
    if done.returncode:
        assert not facts["paused"], f"{said} {found}"
    assert not list((host / "jobs").glob(f"{guest.domid}.*")), f"{said} {found}"
    guest.destroy()


def assert_whole(path: Path) -> None:
    with path.open("rb") as file:
        read_xl_header(file.fileno())
        start = file.tell()
        walked = walk_to_end(file.fileno(), Format.LIBXL)
        assert start + walked.length == path.stat().st_size
