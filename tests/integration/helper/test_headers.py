"""Our prototypes and structs against Xen's own headers, by the compiler.

``xen_abi.h`` is compiled behind the real headers: its structs then have other names,
its function types are made of Xen's types, and both must be the same.
"""

from pathlib import Path

import pytest

from tests.integration.helper.functions import FUNCTIONS
from tests.support.compiling import SOURCES, START, compile_c
from tests.support.xen_packages import SUITES, xen_of

#: Structs of which we have every field.
WHOLE = {
    "xentoollog_logger": ("vmessage", "progress", "destroy"),
    "xen_domctl_shadow_op_stats": ("fault_count", "dirty_count"),
    "precopy_stats": ("iteration", "total_written", "dirty_count"),
    "save_callbacks": (
        "suspend",
        "precopy_policy",
        "postcopy",
        "checkpoint",
        "wait_checkpoint",
        "switch_qemu_logdirty",
        "data",
    ),
    "restore_callbacks": (
        "static_data_done",
        "suspend",
        "postcopy",
        "checkpoint",
        "wait_checkpoint",
        "restore_results",
        "data",
    ),
}

#: Of this one we have the front.
DOMAIN_INFO = (
    "domain",
    "flags",
    "tot_pages",
    "max_pages",
    "outstanding_pages",
    "shr_pages",
    "paged_pages",
    "shared_info_frame",
    "cpu_time",
    "nr_online_vcpus",
    "max_vcpu_id",
    "ssidref",
    "handle",
)
PHYSINFO = (
    "threads_per_core",
    "cores_per_socket",
    "nr_cpus",
    "max_cpu_id",
    "nr_nodes",
    "max_node_id",
    "cpu_khz",
    "capabilities",
)
FRONT = {"xen_domctl_getdomaininfo": DOMAIN_INFO, "xen_sysctl_physinfo": PHYSINFO}

#: Numbers that are written out on our side: Xen's name -> what we use.
CONSTANTS = {
    "XC_STREAM_PLAIN": 0,
    "XC_STREAM_REMUS": 1,
    "XTL_DEBUG": 1,
    "XTL_PROGRESS": 4,
    "XTL_ERROR": 8,
    "XTL_NUM_LEVELS": 10,
    "XCFLAGS_LIVE": 1,
    "XCFLAGS_DEBUG": 2,
    "XEN_DOMCTL_SHADOW_OP_OFF": 0,
    "XEN_DOMCTL_SHADOW_OP_ENABLE_LOGDIRTY": 2,
    "XEN_DOMCTL_SHADOW_OP_PEEK": 12,
    "XEN_SYSCTL_PHYSCAP_hvm": 1 << 0,
    "XEN_SYSCTL_PHYSCAP_pv": 1 << 1,
    "XEN_SYSCTL_PHYSCAP_hap": 1 << 3,
    "XEN_SYSCTL_PHYSCAP_shadow": 1 << 4,
    "XENVER_commandline": 9,
    "sizeof(xen_commandline_t)": 1024,
    "XEN_DOMINF_dying": 1,
    "XEN_DOMINF_hvm_guest": 2,
    "XEN_DOMINF_shutdown": 4,
    "XEN_DOMINF_paused": 8,
    "XEN_DOMINF_blocked": 16,
    "XEN_DOMINF_running": 32,
    "XEN_DOMINF_shutdownshift": 16,
    "XEN_DOMINF_shutdownmask": 255,
    "SHUTDOWN_suspend": 2,
    "XGS_POLICY_ABORT": -1,
    "XGS_POLICY_CONTINUE_PRECOPY": 0,
    "XGS_POLICY_STOP_AND_COPY": 1,
}


def checks() -> list[str]:
    """Return every assertion, one a line."""
    lines = [
        f"_Static_assert(SAME(__typeof__({name}), {ours}), {name!r});"
        for name, ours in FUNCTIONS.items()
    ]
    for struct, fields in {**WHOLE, **FRONT}.items():
        lines += [same_field(struct, field) for field in fields]
    lines += [
        f"_Static_assert(sizeof(struct {struct}) == "
        f"sizeof(struct checked_{struct}), {struct!r});"
        for struct in WHOLE
    ]
    lines += [
        f"_Static_assert((int)({name}) == {value}, {name!r});"
        for name, value in CONSTANTS.items()
    ]
    for buffered in ("xc_domaininfo_t", "xc_physinfo_t"):
        lines.append(f"_Static_assert(sizeof({buffered}) <= 1024, 'shim buffer');")
    return [line.replace("'", '"') for line in lines]


def same_field(struct: str, field: str) -> str:
    """Assert offset, size and, for what is no array, type."""
    ours = f"checked_{struct}"
    same = f"offsetof(struct {struct}, {field}) == offsetof(struct {ours}, {field})"
    size = f"sizeof(FIELD({struct}, {field})) == sizeof(FIELD({ours}, {field}))"
    kind = f"SAME(FIELD({struct}, {field}), FIELD({ours}, {field}))"
    return f"_Static_assert({same} && {size} && {kind}, '{struct}.{field}');"


suites = pytest.mark.parametrize("suite", SUITES)


@pytest.mark.timeout(300)  # the first time they are downloaded
@suites
def test_our_declarations_are_those_of_the_real_headers(
    suite: str, tmp_path: Path
) -> None:
    xen = xen_of(suite)
    assert compile_c(xen.include, tmp_path, checks()) == ""


WRONG = {
    "a parameter too many": (
        (
            "_Static_assert(SAME(__typeof__(xc_domain_restore), "
            'xc_domain_restore_4_22_fn), "memflags");'
        ),
        "memflags",
    ),
    "log-dirty as before 4.16": (
        (
            "_Static_assert(SAME(__typeof__(xc_shadow_control), "
            'xc_shadow_control_4_14_fn), "shadow");'
        ),
        "shadow",
    ),
    "a field that is elsewhere": (
        (
            "_Static_assert(offsetof(struct save_callbacks, suspend) == "
            'offsetof(struct checked_save_callbacks, data), "offset");'
        ),
        "offset",
    ),
    "a constant": ('_Static_assert(XTL_ERROR == 7, "level");', "level"),
}


@suites
@pytest.mark.parametrize("case", WRONG)
def test_wrong_declaration_does_not_compile(
    suite: str, case: str, tmp_path: Path
) -> None:
    line, word = WRONG[case]
    said = compile_c(xen_of(suite).include, tmp_path, [line])
    assert f'static assertion failed: "{word}"' in said


@suites
def test_drifted_struct_does_not_compile(suite: str, tmp_path: Path) -> None:
    """precopy_policy missing, as before Xen 4.11: every later offset moves."""
    ours = (SOURCES / "xen_abi.h").read_text()
    line = "    int (*precopy_policy)(struct precopy_stats stats, void *data);\n"
    assert line in ours
    (tmp_path / "drifted.h").write_text(ours.replace(line, ""))
    start = START.replace('"xen_abi.h"', f'"{tmp_path}/drifted.h"')
    said = compile_c(xen_of(suite).include, tmp_path, checks(), start)
    assert 'static assertion failed: "save_callbacks.postcopy"' in said


def test_xen_abi_is_complete_without_xen(tmp_path: Path) -> None:
    start = '#include "xen_abi.h"\n'
    assert compile_c(tmp_path, tmp_path, [], start) == ""
