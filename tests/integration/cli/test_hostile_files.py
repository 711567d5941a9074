"""Files of a stranger: what a command takes follows their size, whatever they hold."""

import struct
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import stream_samples as samples
from tests.support.hostile_streams import HOSTILE
from tests.support.shell import PATIENCE, XLPY, Shell, environment

SIZE = 2_000_000
#: Memory that a command may take for each byte of a file, and for any file: KiB.
RATIO = 10
ANY_FILE = 20 * 1024
#: Runs a command; tells its largest process in KiB, and its status.
MEASURE = """
import resource, subprocess, sys
done = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss, done.returncode)
"""
COMMANDS: dict[str, list[str]] = {
    "verify": ["verify"],
    "inspect": ["inspect"],
    "records": ["inspect", "--records", "--json"],
    "config": ["inspect", "--config"],
    "config as JSON": ["inspect", "--config", "--json"],
    "plot": ["inspect", "--plot", "plot.svg"],
}


def measured(command: list[str], folder: Path, data: bytes) -> tuple[int, int, str]:
    """Give a command's memory in KiB, its status and its words."""
    (folder / "image").write_bytes(data)
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, *command, "image"],
        capture_output=True,
        text=True,
        check=True,
        cwd=folder,
        env=environment(),
        timeout=PATIENCE,
    )
    memory, status = map(int, done.stdout.split())
    return memory, status, done.stderr


def check_memory(argv: list[str], folder: Path, ends_with: int) -> list[str]:
    """Give a command each hostile file; give what it says of them."""
    least, status, words = measured(argv, folder, samples.HVM_FILE)
    assert status == ends_with, words
    said = []
    for name, make in HOSTILE.items():
        data = make(SIZE)
        memory, status, words = measured(argv, folder, data)
        assert status == ends_with, words
        bound = least + ANY_FILE + RATIO * len(data) // 1024
        assert memory < bound, f"{name}, {len(data):,} bytes"
        said.append(words)
    return said


@pytest.mark.parametrize("command", COMMANDS)
def test_memory_follows_the_size_of_a_file(tmp_path: Path, command: str) -> None:
    assert check_memory([*XLPY, *COMMANDS[command]], tmp_path, 0)


def test_memory_of_a_restore_does_too(shell: Shell, tmp_path: Path) -> None:
    said = check_memory(shell.command("restore"), tmp_path, 1)
    assert {words.count("\n") for words in said} == {1}
    assert shell.domains() == []


@pytest.mark.parametrize("command", ["verify", "inspect", "restore"])
def test_large_configuration_is_refused_before_it_is_read(
    shell: Shell, tmp_path: Path, command: str
) -> None:
    stream = samples.libxl_stream(samples.hvm_image())
    least, *_ = measured(shell.command(command), tmp_path, samples.xl_file(stream))
    config = b'{"c_info": [%s]}\0' % b",".join([b"{}"] * (5 << 20))
    memory, status, words = measured(
        shell.command(command), tmp_path, samples.xl_file(stream, config)
    )
    assert status == 1
    assert words == (
        f"xlpy: image: xl header at offset 0: {len(config) + 4} bytes of optional "
        "data, more than the 1048580 that are taken; `xl restore` has no limit\n"
    )
    assert memory < least + 2048


@pytest.mark.parametrize("width", [4, 8])
def test_memory_of_a_pv_guest_is_not_believed(tmp_path: Path, width: int) -> None:
    """Frames are told in eight bytes for some hundred of them."""
    count = SIZE // 8
    info = samples.record(2, bytes([width, {4: 3, 8: 4}[width], *bytes(6)]))
    last = count * (4096 // width) - 1
    body = struct.pack("<II", 0, last) + bytes(8 * count)
    image = samples.pv_image(
        info, samples.STATIC_DATA_END, samples.record(3, body), samples.END
    )
    least, *_ = measured([*XLPY, "verify"], tmp_path, samples.PV_FILE)
    data = samples.xl_file(samples.libxl_stream(image))
    memory, status, words = measured([*XLPY, "verify"], tmp_path, data)
    assert (status, words.count("\n")) == (1, 1)
    assert memory < least + ANY_FILE + 2 * RATIO * len(data) // 1024


def test_large_number_of_any_kind_is_never_allocated(tmp_path: Path) -> None:
    """What a record says of itself is not believed before it is there."""
    least, *_ = measured([*XLPY, "verify"], tmp_path, samples.HVM_FILE)
    head = samples.hvm_image(*samples.HVM_STATIC)
    for kind in (0x01, 0x09, 0x0A, 0x11, 0x80000001):
        for count in (0, 1, 1 << 20, (1 << 32) - 1):
            body = struct.pack("<IIII", kind, 128 << 20, count, 0)
            data = samples.xl_file(samples.libxl_stream(head + body, bytes(64)))
            memory, status, words = measured([*XLPY, "verify"], tmp_path, data)
            assert status == 1, words
            assert memory < least + 2048
