"""Xen or an embedded host: asked here, and nowhere else."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from libxlpy.domain.toolstack_simxen import SimxenToolstack
    from libxlpy.domain.toolstack_xen import XenToolstack
    from libxlpy.process.environment import Environment


def toolstack_of(env: Environment) -> XenToolstack | SimxenToolstack:
    """Give what keeps, builds and destroys the domains of a backend.

    Only one of them is loaded.
    """
    host = env.backend.host
    if host is None:
        from libxlpy.domain.toolstack_xen import XenToolstack

        return XenToolstack(env)
    from libxlpy.domain.toolstack_simxen import SimxenToolstack

    return SimxenToolstack(env, host)
