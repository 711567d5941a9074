"""A block device to save to: what lies behind the stream is not its damage."""

import json
from pathlib import Path

from tests.support.loop_device import SIZE, device
from tests.support.shell import Shell

__all__ = ["device"]


def test_what_was_saved_to_a_device_is_sound(shell: Shell, device: Path) -> None:
    with shell.guest("small", memory_mib=4):
        shell.good("save", "-c", "small", device)
    verified = json.loads(shell.good("verify", "--json", device))
    inspected = json.loads(shell.good("inspect", "--json", device))
    assert inspected["complete"]
    assert SIZE > verified["bytes"] == inspected["bytes"] == inspected["bytes_read"]
    shell.good("restore", "--name", "again", device)
    shell.good("sim", "destroy", "again")


def test_damage_on_a_device_is_told_by_whoever_reads_it(
    shell: Shell, device: Path
) -> None:
    with shell.guest("small", memory_mib=4):
        shell.good("save", "-c", "small", device)
    size = json.loads(shell.good("verify", "--json", device))["bytes"]
    with device.open("r+b") as file:
        file.seek(size - 8)
        file.write(b"\xff" * 8)
    for command in ("verify", "inspect", "restore"):
        assert "record at offset" in shell.bad(command, device)
