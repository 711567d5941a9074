"""Restore a domain, by what builds domains on the backend; only that is loaded."""

from typing import TYPE_CHECKING

from libxlpy.domain.toolstack import toolstack_of
from libxlpy.jobs.operation import Operation
from libxlpy.later import later
from libxlpy.operations.restore_target import Wanted
from libxlpy.process.environment import Environment
from libxlpy.results.of_jobs import RestoreResult

if TYPE_CHECKING:
    from libxlpy.operations import restore_simxen, restore_xen
else:
    restore_simxen, restore_xen = later(
        "libxlpy.operations", "restore_simxen", "restore_xen"
    )


def restore(env: Environment, wanted: Wanted) -> Operation[RestoreResult]:
    """Give the restore of a domain.

    Raises:
        UsageError: The name for it in place of the configured one can't be one.
    """
    toolstack = toolstack_of(env)
    if wanted.name is not None:
        toolstack.check_name(wanted.name)
    if toolstack.kind == "xen":
        return restore_xen.XenRestore(env, toolstack, wanted)
    return restore_simxen.SimxenRestore(env, toolstack, wanted)
