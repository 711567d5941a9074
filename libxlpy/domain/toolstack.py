"""Xen or an embedded host: asked here, and nowhere else."""

from libxlpy.domain.toolstack_simxen import SimxenToolstack
from libxlpy.domain.toolstack_xen import XenToolstack
from libxlpy.process.environment import Environment


def toolstack_of(env: Environment) -> XenToolstack | SimxenToolstack:
    """Give what keeps, builds and destroys the domains of a backend."""
    host = env.backend.host
    return XenToolstack(env) if host is None else SimxenToolstack(env, host)
