"""Prepare a restore: on which backend, of which domain."""

from collections.abc import Coroutine
from typing import Any

from libxlpy.domain.requests import list_domains
from libxlpy.domain.toolstack_simxen import restored_domain
from libxlpy.jobs.operation import Plan
from libxlpy.operations.restore_simxen import DomainRestore
from libxlpy.operations.restore_target import Target
from libxlpy.operations.restore_xen import XenRestore
from libxlpy.process.environment import Environment
from libxlpy.results import RestoreResult

#: Gives the plan of a restore, and what its job runs in.
Preparing = Coroutine[Any, Any, tuple[Plan[RestoreResult], Environment]]


async def plan_restore(
    env: Environment,
    config: bytes | None,
    name: str | None,
    *,
    paused: bool,
    monitor: bool,
) -> tuple[Plan[RestoreResult], Environment]:
    """Give the plan of a restore, and what its job runs in.

    Arguments are those of :meth:`libxlpy.context.Context.domain_restore`.

    Raises:
        UsageError: The configuration can't be used, or what it names is taken.
        BackendError: The hypervisor can't be asked, or the host refuses.
    """
    if env.backend.kind == "xen":
        target = Target.of(config, name, await list_domains(env))
        build = XenRestore(target, env, paused=paused, monitor=monitor)
        return build, build.env
    domid, new_name = await restored_domain(env.backend, config, name)
    return DomainRestore(domid, new_name, env, paused=paused), env
