"""A migration as Ganeti has it: a pair of socats in place of ssh.

Source: Ganeti, lib/hypervisor/hv_xen.py and src/Ganeti/Constants.hs.
"""

import json
import shlex
import socket
import subprocess
from pathlib import Path

import psutil
import pytest

from tests.integration.cli.test_migrate import configuration, names
from tests.support.shell import PATIENCE, Shell
from tests.support.simxen_clients import until

BUFFER = "-b524288"


@pytest.fixture
def there(other_host: Path) -> Shell:
    """Give commands on the second host."""
    return Shell(other_host)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert isinstance(port, int)
        return port


def listens(pid: int) -> bool:
    listed = psutil.Process(pid).net_connections("tcp")
    return any(each.status == psutil.CONN_LISTEN for each in listed)


def test_domain_moves_by_a_pair_of_socats(shell: Shell, there: Shell, tmp_path: Path):
    port = free_port()
    receiver = shlex.join(there.command("migrate-receive"))
    listening = f"TCP-LISTEN:{port},bind=127.0.0.1,reuseaddr"
    command = ["socat", BUFFER, listening, f"SYSTEM:{receiver}"]
    config = tmp_path / "web.cfg"
    with shell.guest("web"), subprocess.Popen(command) as target:
        try:
            parsed = json.loads(configuration(shell, "web").rstrip(b"\0"))
            config.write_text(json.dumps(parsed))
            until(lambda: listens(target.pid))
            # What xl, and we, would have behind it is a comment to the shell.
            rune = f"socat {BUFFER} - TCP:127.0.0.1:{port} #"
            words = ("migrate", "-s", rune, "-C", config, "web", "127.0.0.1")
            done = shell.run(*words)
            assert done.returncode == 0, done.stderr
            assert target.wait(PATIENCE) == 0
        finally:
            target.kill()
        assert names(shell) == []
        assert names(there) == ["web"]
        assert there.facts("web")["running"]
