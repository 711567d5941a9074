"""What only libxenlight can do on real Xen, done in a process of its own, bounded.

Destroying a domain is more than the hypercall: backends, the device model, xenstore
nodes and the stored configuration go with it.

Xen: tools/libs/light/libxl_domain.c, libxl__destroy_domid().
"""

import asyncio
import json
import os
from pathlib import Path

from libxlpy.aio import finish
from libxlpy.errors import BackendError, DomainReused, reason_of
from libxlpy.process.environment import Environment, found
from libxlpy.process.escalation import Escalation, Step
from libxlpy.process.helper import HelperProcess, last_line, start_process
from libxlpy.process.packages import helper_python
from libxlpy_protocol.json_text import JsonError, parse_object

#: Hosts libxenlight.
BUILDER = "libxlpy_helper.builder.main"
#: Its exit status if it found another domain; ``libxlpy_helper.exit_status``.
ANOTHER_DOMAIN = 8
#: Longest configuration that is taken, bytes; libxl's are some KiB.
CONFIG_MAX = 1 << 20


class XenToolstack:
    """Libxenlight, and what it keeps of its domains."""

    def __init__(self, env: Environment) -> None:
        """Use it.

        Args:
            env: Of a real Xen.
        """
        self._env = env

    async def config(self, domid: int, uuid: str) -> bytes:
        """Give the configuration that libxl keeps of a domain.

        Raises:
            BackendError: It has none, or it can't be read.
        """
        path = self._env.backend.userdata_path(domid, uuid)
        try:
            config = await found(lambda: _read_start(path))
        except OSError as exc:
            text = f"no configuration of domain {domid}: {path}: {reason_of(exc)}"
            raise BackendError(text) from exc
        if len(config) > CONFIG_MAX:
            text = f"configuration {path} is longer than {CONFIG_MAX} bytes"
            raise BackendError(text)
        return without_domid(config)

    async def destroy(self, domid: int, uuid: str) -> None:
        """Remove a domain with its devices, device model and xenstore nodes.

        Args:
            domid: Of the domain.
            uuid: Its own; compared once more right before.

        Raises:
            DomainReused: Another domain has the domid.
            BackendError: It is not removed, or not wholly; libxenlight's words are in
                it.
        """
        deadlines = self._env.deadlines
        options = ["--parent", str(os.getpid()), "--destroy", str(domid)]
        argv = [*helper_python(BUILDER), *options, "--uuid", uuid]
        try:
            process = await start_process(argv, (), deadlines.spawn)
        except TimeoutError as exc:
            why = f"no helper in {deadlines.spawn:g} s"
            raise BackendError(f"domain {domid} was not destroyed: {why}") from exc
        try:
            async with asyncio.timeout(deadlines.destroy):
                status = await process.wait()
        except TimeoutError as exc:
            text = f"domain {domid} was not destroyed in {deadlines.destroy:g} s"
            raise BackendError(text) from exc
        finally:
            await finish(asyncio.create_task(self._end(process)))
        if status.status == ANOTHER_DOMAIN:
            raise DomainReused(domid)
        if status.status != 0:
            why = last_line(process.stderr.text()) or str(status)
            raise BackendError(f"domain {domid} was not destroyed: {why}")

    async def _end(self, process: HelperProcess) -> None:
        """Have the process gone, whatever it does."""
        escalation = Escalation(
            process,
            self._env.deadlines,
            abort=lambda: None,
            climbed=lambda step, bound: None,
        )
        escalation.demand(Step.TERM)
        await escalation.run()
        process.close()


def _read_start(path: Path) -> bytes:
    """Read a file, and of one that is too long enough to tell."""
    with path.open("rb") as file:
        return file.read(CONFIG_MAX + 1)


def without_domid(config: bytes) -> bytes:
    """Forget the domid that a domain was made with; as ``xl save`` does, without -D.

    Libxenlight gives none twice within a minute: with it a restore might have to wait.
    """
    try:
        parsed = parse_object(config.rstrip(b"\0"))
        del parsed["c_info"]["domid"]
    except (JsonError, KeyError, TypeError):
        return config  # there is none, or it is for others to judge
    return json.dumps(parsed, indent=4).encode() + b"\n"
