"""Our prototypes of libxenlight against Debian's own headers, by the compiler."""

from pathlib import Path

import pytest

from libxlpy_helper.builder.monitor import POLICIES
from libxlpy_helper.xen.xenlight import DOMAIN_SHUTDOWN
from libxlpy_protocol import xen
from tests.support.compiling import compile_c
from tests.support.xen_packages import SUITES, xen_of

START = """
#include <stddef.h>
#include <xenctrl.h>
#include <xenguest.h>
#include <xenevtchn.h>
#include <libxl.h>
#include <libxl_event.h>
#define XEN_ABI_CHECK
#include "xenlight.h"
#define SAME(a, b) __builtin_types_compatible_p(a, b)
"""
FUNCTIONS = {
    "libxl_ctx_alloc": "libxl_ctx_alloc_fn",
    "libxl_ctx_free": "libxl_ctx_free_fn",
    "libxl_domain_config_init": "libxl_domain_config_init_fn",
    "libxl_domain_config_dispose": "libxl_domain_config_dispose_fn",
    "libxl_domain_config_from_json": "libxl_domain_config_from_json_fn",
    "libxl_domain_restore_params_init": "libxl_domain_restore_params_init_fn",
    "libxl_domain_create_restore": "libxl_domain_create_restore_fn",
    "libxl_domain_create_new": "libxl_domain_create_new_fn",
    "libxl_domain_unpause": "libxl_domain_op_fn",
    "libxl_domain_destroy": "libxl_domain_op_fn",
    "libxl_domain_rename": "libxl_domain_rename_fn",
    "libxl_domain_core_dump": "libxl_domain_core_dump_fn",
    "libxl_device_nic_init": "libxl_device_nic_init_fn",
    "libxl_device_nic_dispose": "libxl_device_nic_dispose_fn",
    "libxl_device_nic_from_json": "libxl_device_nic_from_json_fn",
    "libxl_device_nic_add": "libxl_device_nic_op_fn",
    "libxl_device_nic_destroy": "libxl_device_nic_op_fn",
    "libxl_userdata_store": "libxl_userdata_store_fn",
    "libxl_userdata_retrieve": "libxl_userdata_retrieve_fn",
    "libxl_evenable_domain_death": "libxl_evenable_domain_death_fn",
    "libxl_event_wait": "libxl_event_wait_fn",
    "libxl_event_free": "libxl_event_free_fn",
}
#: Field of our front -> of Xen's struct.
PARAMS = {name: name for name in ("checkpointed_stream", "stream_version")}
EVENT = {
    "domid": "domid",
    "domuuid": "domuuid",
    "for_user": "for_user",
    "type": "type",
    "shutdown_reason": "u.domain_shutdown.shutdown_reason",
}
NUMBERS = {
    "LIBXL_VERSION": 0,
    "ERROR_FAIL": -3,
    "ERROR_NOMEM": -5,
    "LIBXL_EVENT_TYPE_DOMAIN_SHUTDOWN": DOMAIN_SHUTDOWN,
    "LIBXL_EVENT_TYPE_DOMAIN_DEATH": 2,
    "LIBXL_SHUTDOWN_REASON_SUSPEND": xen.SHUTDOWN_SUSPEND,
    "LIBXL_SHUTDOWN_REASON_POWEROFF": xen.SHUTDOWN_POWEROFF,
    "LIBXL_SHUTDOWN_REASON_REBOOT": xen.SHUTDOWN_REBOOT,
    "LIBXL_SHUTDOWN_REASON_CRASH": xen.SHUTDOWN_CRASH,
    "LIBXL_SHUTDOWN_REASON_WATCHDOG": xen.SHUTDOWN_WATCHDOG,
    "LIBXL_SHUTDOWN_REASON_SOFT_RESET": xen.SHUTDOWN_SOFT_RESET,
}


def checks() -> list[str]:
    lines = [f"SAME(__typeof__({name}), {ours})" for name, ours in FUNCTIONS.items()]
    for ours, theirs, fields in (
        ("struct xenlight_params", "libxl_domain_restore_params", PARAMS),
        ("struct xenlight_event_front", "libxl_event", EVENT),
    ):
        lines += [
            f"offsetof({ours}, {one}) == offsetof({theirs}, {two})"
            for one, two in fields.items()
        ]
    lines += [f"(int)({name}) == {value}" for name, value in NUMBERS.items()]
    lines += [
        "sizeof(libxl_domain_config) <= XENLIGHT_CONFIG_MAX",
        "sizeof(libxl_device_nic) <= XENLIGHT_NIC_MAX",
        "sizeof(libxl_domain_restore_params) <= XENLIGHT_PARAMS_MAX",
        "sizeof(struct xenlight_event_front) <= sizeof(libxl_event)",
    ]
    return [f'_Static_assert({line}, "{line}");' for line in lines]


@pytest.mark.timeout(300)  # the first time they are downloaded
@pytest.mark.parametrize("suite", SUITES)
def test_our_declarations_are_those_of_the_real_headers(
    suite: str, tmp_path: Path
) -> None:
    assert compile_c(xen_of(suite).include, tmp_path, checks(), START) == ""


@pytest.mark.parametrize("suite", SUITES)
def test_wrong_declaration_does_not_compile(suite: str, tmp_path: Path) -> None:
    line = '_Static_assert(SAME(__typeof__(libxl_ctx_free), libxl_event_wait_fn), "x");'
    said = compile_c(xen_of(suite).include, tmp_path, [line], START)
    assert 'static assertion failed: "x"' in said


def test_every_reason_has_a_policy() -> None:
    reasons = {value for name, value in NUMBERS.items() if "SHUTDOWN_REASON" in name}
    assert set(POLICIES) == reasons - {xen.SHUTDOWN_SUSPEND}
