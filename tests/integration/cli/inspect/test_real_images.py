"""What a real save of a simxen guest holds, as `xlpy inspect` tells it."""

import json
import os
import pty
import struct
import subprocess
from pathlib import Path

import pytest

from tests.support.shell import PATIENCE, Shell, environment

MEMORY_MIB = 16
FRAMES = MEMORY_MIB * 256


@pytest.fixture(scope="module", params=["pv", "pvh", "hvm"])
def kind(request: pytest.FixtureRequest) -> str:
    """Give each type of domain."""
    return str(request.param)


@pytest.fixture(scope="module")
def image(shell: Shell, kind: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Save a guest that writes its memory meanwhile."""
    path = tmp_path_factory.mktemp(kind) / "web.img"
    with shell.guest("web", type=kind, memory_mib=MEMORY_MIB, vcpus=2):
        shell.good("save", "-c", "--live", "web", path)
    return path


def test_file_is_told_as_verify_tells_it(shell: Shell, image: Path, kind: str) -> None:
    facts = shell.json("inspect", "--json", "--config", image)
    checked = shell.json("verify", "--json", image)
    assert facts["complete"] is True
    assert facts["bytes"] == facts["bytes_read"] == image.stat().st_size
    assert facts["config"]["name"] == checked["name"] == "web"
    assert facts["config"]["type"] == kind
    assert facts["config"]["memory_kib"] == MEMORY_MIB << 10
    assert facts["config"]["vcpus"] == 2
    assert facts["whole_config"]["c_info"]["name"] == "web"
    assert facts["libxc"]["domain_type"] == ("PV" if kind == "pv" else "HVM")
    assert facts["libxc"]["xen_version"] == checked["xen_version"]
    counts = {f"{t['layer']} {t['name']}": t["count"] for t in facts["record_types"]}
    assert counts == checked["records"]
    assert facts["memory"]["page_bytes"] == checked["pages"] * 4096


def test_memory_is_told_frame_by_frame(shell: Shell, image: Path, kind: str) -> None:
    facts = shell.json("inspect", "--json", image)
    memory = facts["memory"]
    assert memory["frames_with_data"] == FRAMES
    assert memory["highest_frame"] == FRAMES - 1
    assert memory["repeats"] == memory["pages"] - FRAMES
    assert sum(memory["times_sent"].values()) == FRAMES
    assert (facts["emulator"] is not None) is (kind == "hvm")
    if kind == "hvm":
        assert facts["emulator"]["name"] == "qemu"
        assert facts["emulator"]["state_bytes"] > 100_000
        assert facts["emulator"]["xenstore_keys"] > 0


def test_offsets_lead_to_the_records(shell: Shell, image: Path) -> None:
    records = shell.json("inspect", "--json", "--records", image)["records"]
    with image.open("rb") as file:
        for record in records:
            file.seek(record["offset"])
            found = struct.unpack("<II", file.read(8))
            assert found == (record["type"], record["length"])
    assert [record["name"] for record in records].count("END") == 2


def test_pipe_is_read_as_well(shell: Shell, image: Path) -> None:
    with image.open("rb") as file:
        cat = subprocess.Popen(["cat"], stdin=file, stdout=subprocess.PIPE)
    with cat:
        done = shell.run("inspect", "--json", "/dev/stdin", stdin=cat.stdout)
    piped = json.loads(done.stdout)
    direct = shell.json("inspect", "--json", image)
    assert piped == {**direct, "file": "/dev/stdin"}


@pytest.mark.parametrize(("suffix", "magic"), [("svg", b"<svg"), ("png", b"\x89PNG")])
def test_picture_is_drawn(
    shell: Shell, image: Path, tmp_path: Path, suffix: str, magic: bytes
) -> None:
    picture = tmp_path / f"map.{suffix}"
    shell.good("inspect", "--plot", picture, image)
    assert picture.read_bytes().startswith(magic)


def test_cut_file_is_told_up_to_the_cut(
    shell: Shell, image: Path, tmp_path: Path
) -> None:
    cut = tmp_path / "cut.img"
    cut.write_bytes(image.read_bytes()[: 5 << 20])
    line = shell.bad("inspect", cut)
    assert "PAGE_DATA record at offset" in line
    assert line.endswith(f"the stream ends inside it, at offset {5 << 20}")
    assert json.loads(shell.run("inspect", "--json", cut).stdout)["memory"]["pages"]


def test_terminal_gets_tables(shell: Shell, image: Path) -> None:
    master, slave = pty.openpty()
    try:
        environ = {**environment(), "TERM": "xterm-256color", "COLUMNS": "100"}
        with subprocess.Popen(
            shell.command("inspect", image), stdout=slave, env=environ
        ) as process:
            os.close(slave)
            shown = terminal_text(master)
            assert process.wait(PATIENCE) == 0
    finally:
        os.close(master)
    assert "\x1b[1m" in shown
    assert "PAGE_DATA" in shown
    assert "frames named" in shown


def terminal_text(master: int) -> str:
    """Read what a process wrote until it closed its terminal."""
    data = b""
    while True:
        try:
            chunk = os.read(master, 65536)
        except OSError:  # how Linux says that the other side is closed
            return data.decode()
        data += chunk
