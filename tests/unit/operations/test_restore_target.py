"""Which domain a restore on real Xen makes, or why none."""

import json
import uuid
from typing import Any

import pytest

from libxlpy.domain.info import DomainFacts, DomainInfo
from libxlpy.errors import UsageError
from libxlpy.operations.restore_target import Target, Wanted
from libxlpy_protocol.xen import DOMID_MAX

UUID = "0b2ff1c0-5a4e-4a5f-9f6a-111111111111"


def domain(domid: int, name: str, uuid: str = "") -> DomainInfo:
    facts = DomainFacts(domid, 32, 0, 1, 1, 1, 0, True, uuid)
    return DomainInfo.of(facts, name, "pvh")


DOMAINS = [domain(0, "Domain-0"), domain(5, "other", "5" * 36)]


def config(**created: Any) -> bytes:
    return json.dumps({"c_info": {"name": "web", "uuid": UUID, **created}}).encode()


def test_all_is_known_and_goes_into_the_configuration() -> None:
    target = Target.of(Wanted(config=config() + b"\0", name=None), DOMAINS)
    assert (target.name, target.uuid) == ("web", UUID)
    assert 0 < target.domid <= DOMID_MAX
    assert target.domid != 5
    assert json.loads(target.config)["c_info"] == {
        "name": "web",
        "uuid": UUID,
        "domid": target.domid,
    }


def test_another_name_and_the_stored_domid_are_taken() -> None:
    target = Target.of(Wanted(config=config(domid=7), name="copy"), DOMAINS)
    assert (target.name, target.domid) == ("copy", 7)


@pytest.mark.parametrize("domid", [0, -1, DOMID_MAX + 1, "7", True])
def test_what_is_no_domid_is_as_none(domid: object) -> None:
    assert (
        0
        < Target.of(Wanted(config=config(domid=domid), name=None), DOMAINS).domid
        <= DOMID_MAX
    )


def test_a_domid_is_never_one_in_use() -> None:
    crowd = [domain(domid, "x") for domid in range(DOMID_MAX + 1) if domid != 4711]
    assert Target.of(Wanted(config=config(), name=None), crowd).domid == 4711


@pytest.mark.parametrize("there", [None, UUID])
def test_a_copy_gets_a_uuid_of_its_own(there: str | None) -> None:
    beside = [*DOMAINS, domain(6, "first", UUID)]
    target = Target.of(Wanted(config=config(uuid=there), name=None), beside)
    assert uuid.UUID(target.uuid)
    assert target.uuid != UUID


def test_a_domain_that_migrates_to_its_own_host_keeps_its_uuid() -> None:
    beside = [*DOMAINS, domain(6, "web--migratedaway", UUID)]
    wanted = Wanted(config=config(), name=None, keep_uuid=True)
    assert Target.of(wanted, beside).uuid == UUID


def test_a_domain_without_uuid_has_none_to_keep() -> None:
    wanted = Wanted(config=config(uuid=None), name=None, keep_uuid=True)
    assert uuid.UUID(Target.of(wanted, DOMAINS).uuid)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (None, "no configuration"),
        (b"", "no configuration"),
        (b'name = "web"', "is not JSON.*only `xl restore` takes it"),
        (b"[" * 50_000, "nested deeper than 64 levels"),
        (config(name="a\0b"), "'a.x00b' can't be a domain's name"),
        (config(name="\ud800"), "holds half a character"),
        (b"[]", "has no c_info"),
        (b'{"c_info": 1}', "has no c_info"),
        (b'{"c_info": {}}', "gives the domain no name"),
        (config(name=7), "gives the domain no name"),
        (config(uuid="x"), "uuid 'x' of the configuration is none"),
        (config(name="other"), "name 'other' is taken by domain 5"),
        (config(domid=5), "domid 5, stored by -D, is in use"),
    ],
)
def test_what_can_not_be_used_is_named(text: bytes | None, why: str) -> None:
    with pytest.raises(UsageError, match=why):
        Target.of(Wanted(config=text, name=None), DOMAINS)
