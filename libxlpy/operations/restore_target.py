"""Which domain a restore makes: its name, uuid, domid, configuration.

On real Xen all is known before anything starts. The domid is chosen here, at random as
with ``domid_policy="random"`` of ``xl.conf``: whatever dies while the domain is built,
it is certain which one is ours, and nobody else's is ever taken for it.

Xen: tools/libs/light/libxl_create.c, libxl__domain_make().
"""

import json
import os
import uuid as uuids
from typing import Self

from libxlpy.domain.config import (
    checked_name,
    checked_uuid,
    parse_config,
    stored_domid,
)
from libxlpy.domain.info import DomainInfo
from libxlpy.errors import UsageError
from libxlpy_protocol.value import Value
from libxlpy_protocol.xen import DOMID_MAX


class Wanted(Value, kw_only=True):
    """What the caller wants a restored domain to be."""

    #: As ``retrieve_config`` gave it.
    config: bytes | None
    #: Instead of the one in ``config``.
    name: str | None
    paused: bool = False
    #: Have a process look after it, as ``xl`` does.
    monitor: bool = False
    #: It keeps its uuid even if a domain has that: itself, as it migrates to its own
    #: host. Else it is a copy then.
    keep_uuid: bool = False
    #: Set aside for it before its memory is read; 0: what comes is taken as it comes.
    claim_pages: int = 0


class Target(Value):
    """A domain to be made, and libxl's JSON that says how."""

    domid: int
    name: str
    uuid: str
    config: bytes

    @classmethod
    def of(cls, wanted: Wanted, domains: list[DomainInfo]) -> Self:
        """Settle what the domain will be.

        Args:
            wanted: With libxl's JSON.
            domains: Those that are there.

        Raises:
            UsageError: The configuration can't be used, or its name or domid is taken.
        """
        parsed = parse_config(wanted.config)
        created = parsed["c_info"]
        name = created.get("name") if wanted.name is None else wanted.name
        created["name"] = _free_name(name, domains)
        rivals = [] if wanted.keep_uuid else domains
        created["uuid"] = _free_uuid(created.get("uuid"), rivals)
        created["domid"] = _free_domid(created.get("domid"), domains)
        text = json.dumps(parsed).encode()
        return cls(created["domid"], created["name"], created["uuid"], text)


def _free_name(wanted: object, domains: list[DomainInfo]) -> str:
    name = checked_name(wanted)
    for info in domains:
        if info.name == name:
            raise UsageError(
                f"name '{name}' is taken by domain {info.domid}: destroy it, or have "
                "the new one called otherwise"
            )
    return name


def _free_uuid(uuid: object, domains: list[DomainInfo]) -> str:
    """Give the configured uuid, unless there is none or a domain has it: a copy."""
    wanted = checked_uuid(uuid)
    if wanted is None or wanted in {info.uuid for info in domains}:
        return str(uuids.uuid4())
    return wanted


def _free_domid(domid: object, domains: list[DomainInfo]) -> int:
    """Give the domid that ``xl save -D`` has stored, else one that nobody has."""
    used = {info.domid for info in domains}
    stored = stored_domid(domid)
    if stored in used:
        raise UsageError(f"domid {stored}, stored by -D, is in use: destroy it first")
    if stored is not None:
        return stored
    while (chosen := 1 + int.from_bytes(os.urandom(8), "little") % DOMID_MAX) in used:
        pass
    return chosen
