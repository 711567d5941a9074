"""Restore a domain, by what builds domains on the backend."""

from libxlpy.domain.toolstack import toolstack_of
from libxlpy.domain.toolstack_xen import XenToolstack
from libxlpy.jobs.operation import Operation
from libxlpy.operations.restore_simxen import SimxenRestore
from libxlpy.operations.restore_target import Wanted
from libxlpy.operations.restore_xen import XenRestore
from libxlpy.process.environment import Environment
from libxlpy.results.of_jobs import RestoreResult


def restore(env: Environment, wanted: Wanted) -> Operation[RestoreResult]:
    """Give the restore of a domain."""
    toolstack = toolstack_of(env)
    if isinstance(toolstack, XenToolstack):
        return XenRestore(env, toolstack, wanted)
    return SimxenRestore(env, toolstack, wanted)
