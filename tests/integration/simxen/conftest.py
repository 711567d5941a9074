"""A real host in a temporary directory."""

import pytest

from libxlpy.simxen import client
from tests.support.simxen_clients import Host


@pytest.fixture
def make_host(tmp_path):
    """Start hosts by name; stop those that still run, and see that nothing is left."""
    hosts = []

    def make(name="h"):
        client.start_host(tmp_path / name)
        hosts.append(Host(tmp_path / name))
        return hosts[-1]

    yield make
    for host in hosts:
        host.close()
        try:
            client.stop_host(host.directory)
        except client.HostNotRunning:
            continue
        assert not host.directory.exists()


@pytest.fixture
def host(make_host):
    """One running host."""
    return make_host()
