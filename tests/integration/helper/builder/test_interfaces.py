"""Interfaces that are built while a domain's memory is read, on a fake libxenlight."""

import json
from typing import Any

import pytest

from tests.integration.helper.builder.fake import Fake

NIC = {"devid": 0, "mac": "00:16:3e:00:00:01", "bridge": "xenbr0"}
#: A domain has them; of "reads" the memory is read until an interface was added.
CONFIG = {"c_info": {"type": "pvh", "name": "reads"}, "b_info": {}, "disks": [1]}


def built(fake: Fake, config: dict[str, Any]) -> tuple[list[str], list[str]]:
    """Have a domain restored; give what was said, and what libxenlight was told."""
    said = fake.run("interfaces", json.dumps(config))
    return said, fake.calls()


def kinds(calls: list[str]) -> str:
    return " ".join(call.split()[0] for call in calls)


def test_interfaces_are_there_before_the_memory_is(fake: Fake) -> None:
    said, calls = built(fake, {**CONFIG, "nics": [NIC, {**NIC, "devid": 1}]})
    assert said == []
    restore, *others = calls
    assert json.loads(restore.removeprefix("restore 0 ")) == {**CONFIG, "nics": []}
    assert [call.split()[0] for call in others] == [
        "store",
        "add-nic",
        "add-nic",
        "store",
    ]
    assert json.loads(others[1].removeprefix("add-nic 9 ")) == NIC


def test_domain_is_kept_with_its_interfaces_and_meanwhile_without_devices(
    fake: Fake,
) -> None:
    config = {**CONFIG, "nics": [NIC]}
    _, calls = built(fake, config)
    stored = [call.removeprefix("store 9 ") for call in calls if "store 9" in call]
    assert json.loads(stored[0]) == {"c_info": CONFIG["c_info"], "b_info": {}}
    assert json.loads(stored[1]) == config


def test_memory_that_was_read_at_once_has_its_interfaces_all_the_same(
    fake: Fake,
) -> None:
    config = {**CONFIG, "c_info": {"type": "pv", "name": "quick"}, "nics": [NIC]}
    said, calls = built(fake, config)
    assert said == []
    assert [call.split()[0] for call in calls] == [
        "restore",
        "store",
        "add-nic",
        "store",
    ]


@pytest.mark.parametrize(
    "changed",
    [
        {"nics": []},
        {"nics": [{"mac": NIC["mac"]}]},
        {"nics": [{"devid": 0}, NIC]},
        {"nics": "none"},
        {"nics": ["one"]},
        {"nics": [NIC], "c_info": {"type": "hvm", "name": "web"}},
        {"nics": [NIC], "c_info": {}},
        {"nics": [NIC], "c_info": 3},
    ],
)
def test_other_interfaces_are_left_to_libxenlight(
    fake: Fake, changed: dict[str, Any]
) -> None:
    config = {"c_info": {"type": "pvh"}, **changed}
    said, calls = built(fake, config)
    assert said == []
    assert calls == [f"restore 0 {json.dumps(config)}"]


def test_guest_with_qemu_has_those_early_that_qemu_does_not_emulate(fake: Fake) -> None:
    created = {"type": "hvm", "name": "reads"}
    nic = {**NIC, "nictype": "vif"}
    said, calls = built(fake, {"c_info": created, "nics": [nic]})
    assert said == []
    assert json.loads(calls[2].removeprefix("add-nic 9 ")) == nic


def test_interface_that_cant_be_built_ends_the_restore(fake: Fake) -> None:
    nic = {**NIC, "bridge": "no script"}
    said, calls = built(fake, {**CONFIG, "nics": [nic, NIC]})
    assert said == ["stopped", "error interface: failed (rc -3)"]
    assert kinds(calls) == "restore store add-nic"


def test_interface_of_a_domain_that_was_removed_is_taken_away(fake: Fake) -> None:
    created = {"type": "pvh", "name": "reads fail"}
    said, calls = built(fake, {"c_info": created, "nics": [NIC]})
    assert said == ["error the domain could not be built: failed (rc -3)"]
    assert calls[-1] == f"remove-nic 9 {json.dumps(NIC)}"
