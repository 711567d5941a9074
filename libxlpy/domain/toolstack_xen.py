"""What only libxenlight can do on real Xen, done in a process of its own, bounded.

Destroying a domain is more than the hypercall: backends, the device model, xenstore
nodes and the stored configuration go with it.

Xen: tools/libs/light/libxl_domain.c, libxl__destroy_domid().
"""

import asyncio
import json
import os
from pathlib import Path
from typing import Any, Literal, Self

from libxlpy.aio import finish
from libxlpy.domain.config import checked_name
from libxlpy.errors import BackendError, DomainReused, UsageError, last_line, reason_of
from libxlpy.process.environment import Environment, found
from libxlpy.process.escalation import Escalation, Step
from libxlpy.process.helper import HelperProcess, start_process
from libxlpy.process.packages import helper_python
from libxlpy.xenstore import Xenstore, connect
from libxlpy_protocol.json_text import JsonError, parse_object
from libxlpy_protocol.value import Value

#: Hosts libxenlight.
BUILDER = "libxlpy_helper.builder.main"
#: Its exit status if it found another domain; ``libxlpy_helper.exit_status``.
ANOTHER_DOMAIN = 8
#: Longest configuration that is taken, bytes; libxl's are some KiB.
CONFIG_MAX = 1 << 20
#: Of an HVM domain that may grow, KiB; Xen: tools/libs/light/libxl_internal.h,
#: LIBXL_MAXMEM_CONSTANT.
MAXMEM_CONSTANT = 1024


class XenToolstack:
    """Libxenlight, and what it keeps of its domains."""

    #: Of the backend; tells the two apart.
    kind: Literal["xen"] = "xen"

    def __init__(self, env: Environment) -> None:
        """Use it.

        Args:
            env: Of a real Xen.
        """
        self._env = env

    async def config(self, domid: int, uuid: str) -> bytes:
        """Give the configuration that libxl keeps of a domain, as the domain is now.

        Raises:
            BackendError: It has none, or it can't be read.
            XenstoreError: Xenstored can't be asked.
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
        socket, timeout = (
            self._env.backend.xenstore_socket,
            self._env.deadlines.xenstore,
        )
        async with connect(socket, timeout=timeout) as store:
            return brought_up_to_date(config, await Current.of(store, domid, uuid))

    def check_name(self, name: str) -> None:
        """Refuse what can't be a domain's name.

        Raises:
            UsageError: It can't.
        """
        if not name:
            raise UsageError("a domain's name can't be empty")
        checked_name(name)

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


class Current(Value):
    """What a domain is now; the stored configuration says what it was made as."""

    uuid: str
    #: "" if it is not known: what is stored holds.
    name: str
    #: KiB that it is to use, and may come to use; None as above.
    target: int | None
    static_max: int | None

    @classmethod
    async def of(cls, store: Xenstore, domid: int, uuid: str) -> Self:
        """Read it."""
        home = f"/local/domain/{domid}"
        name = await store.read_text(f"{home}/name")
        target = await store.read_text(f"{home}/memory/target")
        static_max = await store.read_text(f"{home}/memory/static-max")
        return cls(uuid, name, _number(target), _number(static_max))


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdecimal() else None


def brought_up_to_date(config: bytes, now: Current) -> bytes:
    """Give a stored configuration with what has changed since the domain was made.

    Name, uuid and memory are the domain's own. The domid that it was made with is
    forgotten, as ``xl save`` does without -D: libxenlight gives none twice within a
    minute, with it a restore might have to wait.

    Xen: tools/libs/light/libxl_domain.c, retrieve_domain_configuration_end().
    """
    try:
        parsed = parse_object(config.rstrip(b"\0"))
    except JsonError:
        return config  # for others to judge
    created, built = parsed.get("c_info"), parsed.get("b_info")
    if not isinstance(created, dict):
        return config
    created.pop("domid", None)
    created["uuid"] = now.uuid
    if now.name:
        created["name"] = now.name
    if isinstance(built, dict) and now.target is not None:
        built["target_memkb"] = now.target + _fudge(created, built)
    if isinstance(built, dict) and now.static_max is not None:
        built["max_memkb"] = now.static_max
    return json.dumps(parsed, indent=4).encode() + b"\n"


def _fudge(created: dict[str, Any], built: dict[str, Any]) -> int:
    """Give the KiB that a target in xenstore does not count.

    Xen: tools/libs/light/libxl_internal.h, libxl__get_targetmem_fudge().
    """
    most, target, video = (
        value if type(value := built.get(key)) is int else 0
        for key in ("max_memkb", "target_memkb", "video_memkb")
    )
    grows = created.get("type") == "hvm" and most > target
    return video + MAXMEM_CONSTANT * grows
