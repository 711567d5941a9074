"""A guest's memory and state, copied as a restore does."""

import os

from tests.support.simxen_clients import Hypervisor


def close(fds):
    for fd in fds:
        os.close(fd)


def copy_guest(host, source, target):
    """Do what a restore does: memory, architectural state, RESTORED."""
    hypervisor = host.hypervisor
    hypervisor.ok(Hypervisor.MAP, source)
    from_fds = hypervisor.fds
    nr_pages = hypervisor.ok(Hypervisor.MAP, target)[0]
    to_fds = hypervisor.fds
    for n in range(nr_pages):
        os.pwrite(to_fds[0], os.pread(from_fds[0], 4096, n * 4096), n * 4096)
    os.pwrite(to_fds[1], os.pread(from_fds[1], 80, 128), 128)
    close(from_fds + to_fds)
    hypervisor.ok(Hypervisor.RESTORED, target, 1, 2)
