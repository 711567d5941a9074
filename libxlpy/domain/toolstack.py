"""Xen or an embedded host: asked here, and nowhere else; only one of them is loaded."""

from __future__ import annotations

from typing import TYPE_CHECKING

from libxlpy.later import later

if TYPE_CHECKING:
    from libxlpy.domain import toolstack_simxen, toolstack_xen
    from libxlpy.domain.toolstack_simxen import SimxenToolstack
    from libxlpy.domain.toolstack_xen import XenToolstack
    from libxlpy.process.environment import Environment
else:
    _names = ("toolstack_simxen", "toolstack_xen")
    toolstack_simxen, toolstack_xen = later("libxlpy.domain", *_names)


def toolstack_of(env: Environment) -> XenToolstack | SimxenToolstack:
    """Give what keeps, builds and destroys the domains of a backend."""
    host = env.backend.host
    if host is None:
        return toolstack_xen.XenToolstack(env)
    return toolstack_simxen.SimxenToolstack(env, host)
