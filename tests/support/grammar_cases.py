"""One set of cases for all who read saved domains, and where they differ.

Each case is a change of a sound file. Whether it is taken then has one answer for
`verify`, both restores and Xen's own verifier, but for the differences: each of those
is a line of docs/files.md.
"""

import struct
from dataclasses import dataclass

from tests.support.grammar_changes import (
    BASIC,
    CHECKPOINT,
    COLO,
    CONTEXT,
    CPUID,
    END,
    HOLE,
    KEYS,
    MSR,
    MSRS,
    OPTIONAL,
    P2M,
    PAGE_DATA,
    PARAMS,
    POLICY,
    PV_INFO,
    SHARED_INFO,
    STATE,
    STATIC_END,
    TOOLSTACK,
    TSC,
    VERIFY,
    XSAVE,
    Change,
    before,
    body,
    bytes_of,
    cut,
    emulated,
    emulator,
    head,
    holes_only,
    keys,
    moved,
    moved_behind,
    nothing,
    one_more_param,
    page,
    policies,
    then,
    twice,
    version_2,
    with_policies,
    without,
    without_one,
)
from tests.support.saved_file import changed, record

#: Lines of docs/files.md.
ORDER = "It does not ask what is there, how often and in which order."
BODIES = "It takes some bodies that no Xen would."
UNKNOWN = "It refuses optional records that are not known."
BEHIND = "What lies behind END is an error for `xlpy verify` and `inspect` alone"
SIMXEN = "simxen restores simxen's guests only"
LOOSE_ORDER = (
    "It lets records come twice, late or not at all, but for what it needs itself."
)
LOOSE_BITS = "It does not look at reserved bits and padding."
LOOSE_BODIES = "It takes an END with a body, and static data in an image of version 2."
LOOSE_EMULATOR = (
    "It does not look at an emulator's number and at keys that xenstored refuses."
)
LOOSE_END = "It does not need libxl's END."
LOOSE_MEMORY = "It does not see that memory is missing."
NOT_KNOWN = (
    "It refuses optional records of libxl, and HVM parameters that are not known."
)


@dataclass(frozen=True)
class Case:
    """One change of a sound file.

    Attributes:
        change: Makes it.
        told: What `verify` says; "" if the file is sound still.
        simxen: Why simxen's restore does not do as `verify`, a line of docs/files.md;
            "" if it does.
        xen: The same for Xen's verifier.
        libxl: The same for Xen's restore.
        pv: There is such a case of PV domains; of HVM domains.
        hvm: The same for those.
    """

    change: Change
    told: str
    simxen: str = ""
    xen: str = ""
    libxl: str = ""
    pv: bool = True
    hvm: bool = True

    def taken(self, *whys: str) -> bool:
        """Tell whether a reader takes it who differs from `verify` for a reason."""
        return (not self.told) is not any(whys)


def cases_of(pv: bool) -> dict[str, Case]:
    """Give the cases of one kind of domain."""
    return {name: case for name, case in CASES.items() if (case.pv if pv else case.hvm)}


ONE = b"\1"
PV, HVM = {"hvm": False}, {"pv": False}
BY_ORDER = {"xen": ORDER}
BOTH_BY_ORDER = {"xen": ORDER, "libxl": LOOSE_ORDER}
BY_BODY = {"xen": BODIES}
BY_BITS = {"libxl": LOOSE_BITS}

# ---- what may come, how often, in which order --------------------------------------

ORDERS = {
    "sound": Case(nothing, ""),
    "no STATIC_DATA_END": Case(without(STATIC_END), "before STATIC_DATA", **BY_ORDER),
    "STATIC_DATA_END twice": Case(twice(STATIC_END), "comes twice", **BY_ORDER),
    "policies": Case(with_policies(nothing), ""),
    "policy twice": Case(with_policies(twice(CPUID)), "comes twice", **BOTH_BY_ORDER),
    "policy late": Case(before(TSC, POLICY), "comes too late", **BOTH_BY_ORDER),
    "TSC twice": Case(twice(TSC), "comes twice", **BOTH_BY_ORDER),
    "no TSC": Case(without(TSC), ""),
    "TSC before memory": Case(moved(TSC, PAGE_DATA), "comes too late", **BOTH_BY_ORDER),
    "memory late": Case(
        moved_behind(PAGE_DATA, TSC), "comes too late", **BOTH_BY_ORDER
    ),
    "verify pass": Case(before(TSC, record(VERIFY) + page(1, pages=1)), ""),
    "VERIFY twice": Case(
        before(TSC, record(VERIFY) * 2), "comes twice", **BOTH_BY_ORDER
    ),
    "VERIFY late": Case(before(END, record(VERIFY)), "comes too late", **BOTH_BY_ORDER),
    "checkpoint": Case(
        before(END, record(CHECKPOINT)), "not a checkpointed stream", **BY_ORDER
    ),
    "TOOLSTACK": Case(before(TSC, record(TOOLSTACK)), "no longer part of the format"),
    "COLO's record": Case(before(TSC, record(COLO)), "belongs to COLO"),
    "unknown": Case(before(TSC, record(0x13)), "unknown and not optional"),
    "optional": Case(before(TSC, record(OPTIONAL, b"new")), "", xen=UNKNOWN),
    "PV_INFO twice": Case(twice(PV_INFO), "comes twice", **BY_ORDER, **PV),
    "no PV_INFO": Case(without(PV_INFO), "before X86_PV_INFO", **BY_ORDER, **PV),
    "PV_INFO late": Case(
        moved_behind(PV_INFO, STATIC_END), "before X86_PV_INFO", **BOTH_BY_ORDER, **PV
    ),
    "P2M twice": Case(twice(P2M), "comes twice", **BOTH_BY_ORDER, **PV),
    "no P2M": Case(without(P2M), "before X86_PV_P2M_FRAMES", **BY_ORDER, **PV),
    "P2M late": Case(
        moved_behind(P2M, PAGE_DATA), "before X86_PV_P2M_FRAMES", **BY_ORDER, **PV
    ),
    "SHARED_INFO twice": Case(twice(SHARED_INFO), "comes twice", **BOTH_BY_ORDER, **PV),
    "no SHARED_INFO": Case(
        without(SHARED_INFO), "before SHARED_INFO", **BOTH_BY_ORDER, **PV
    ),
    "SHARED_INFO before memory": Case(
        moved(SHARED_INFO, PAGE_DATA), "comes too late", **BOTH_BY_ORDER, **PV
    ),
    "vcpu twice": Case(twice(BASIC), "twice for vcpu 0", **BOTH_BY_ORDER, **PV),
    "no vcpu": Case(without(BASIC), "before X86_PV_VCPU_BASIC", **BY_ORDER, **PV),
    "vcpu before memory": Case(
        moved(BASIC, PAGE_DATA), "comes too late", **BOTH_BY_ORDER, **PV
    ),
    "HVM record": Case(
        before(END, record(CONTEXT, b"x")), "no PV domain", **BY_ORDER, **PV
    ),
    "CONTEXT twice": Case(twice(CONTEXT), "comes twice", **BOTH_BY_ORDER, **HVM),
    "no CONTEXT": Case(without(CONTEXT), "before HVM_CONTEXT", **BY_ORDER, **HVM),
    "PARAMS twice": Case(twice(PARAMS), "comes twice", **BOTH_BY_ORDER, **HVM),
    "no PARAMS": Case(without(PARAMS), "before HVM_PARAMS", **BOTH_BY_ORDER, **HVM),
    "PARAMS first": Case(moved(PARAMS, CONTEXT), "", **HVM),
    "CONTEXT before memory": Case(
        moved(CONTEXT, PAGE_DATA), "comes too late", **BOTH_BY_ORDER, **HVM
    ),
    "PV record": Case(
        before(END, record(SHARED_INFO, bytes(4096))), "no HVM", **BY_ORDER, **HVM
    ),
}

# ---- bodies ------------------------------------------------------------------------

RESERVED = {
    "image header": Case(head("libxc", 23, ONE), "reserved", **BY_BITS),
    "image options": Case(head("libxc", 16, ONE), "reserved", **BY_BITS),
    "domain header": Case(head("libxc", 30, ONE), "reserved", **BY_BITS),
    "libxl options": Case(head("libxl", 15, b"\4"), "unknown options", **BY_BITS),
    "PV_INFO": Case(bytes_of(PV_INFO, 2, ONE), "reserved", **BY_BITS, **PV),
    "PAGE_DATA": Case(bytes_of(PAGE_DATA, 4, ONE), "reserved", **BY_BITS),
    "pfn": Case(bytes_of(PAGE_DATA, 14, b"\x10"), "reserved", **BY_BITS),
    "pfn of a hole": Case(before(TSC, page(HOLE | 1 | 1 << 52)), "reserved", **BY_BITS),
    "vcpu": Case(bytes_of(BASIC, 4, ONE), "reserved", **BY_BITS, **PV),
    "TSC": Case(bytes_of(TSC, 20, ONE), "reserved", **BY_BITS),
    "PARAMS": Case(bytes_of(PARAMS, 4, ONE), "reserved", **BY_BITS, **HVM),
    "padding": Case(
        before(TSC, record(OPTIONAL, b"x")[:-1] + ONE),
        "its padding is not zero",
        **BY_BITS,
    ),
}

BODIES_CASES = {
    "version 4": Case(head("libxc", 15, b"\4"), "version 4"),
    "version 2": Case(version_2, "", simxen=SIMXEN),
    "version 2 with static data": Case(
        head("libxc", 15, b"\2"),
        "a version 2 image can't hold it",
        libxl=LOOSE_BODIES,
    ),
    "END with a body": Case(
        lambda f: f.records.__setitem__(-1, record(END, bytes(8))),
        "8 bytes long",
        libxl=LOOSE_BODIES,
    ),
    "TSC short": Case(body(TSC, lambda b: b[:16]), "16 bytes long"),
    "CPUID odd": Case(policies(record(CPUID, bytes(25))), "no whole number"),
    "CPUID empty": Case(policies(record(CPUID)), "body is empty"),
    "MSR empty": Case(policies(record(MSR)), "body is empty"),
    "MSR odd": Case(policies(record(MSR, bytes(24))), "no whole number"),
    "no page named": Case(before(TSC, record(PAGE_DATA, bytes(8))), "names no page"),
    "fewer pages than named": Case(before(TSC, page(1, 2, pages=1)), "bytes long, not"),
    "more pages than named": Case(before(TSC, page(1, pages=2)), "bytes long, not"),
    "more named than there": Case(before(TSC, page(1, count=9)), "can't hold 9 frames"),
    "illegal type": Case(before(TSC, page(5 << 60, pages=1)), "illegal type 5"),
    "page of a hole": Case(before(TSC, page(HOLE | 1, pages=1)), "bytes long, not"),
    "a hole": Case(before(PAGE_DATA, page(HOLE | 1)), ""),
    "frame too high": Case(
        before(TSC, page(1 << 40, pages=1)), "above the last", **BY_BODY, **PV
    ),
    "width and levels": Case(
        bytes_of(PV_INFO, 0, b"\4\4"), "width 4 and 4 levels", **BY_BODY, **PV
    ),
    "P2M upside down": Case(
        bytes_of(P2M, 0, b"\xff\xff\xff\x7f"), "upside down", **BY_BODY, **PV
    ),
    "P2M short": Case(body(P2M, lambda b: b[:-8]), "bytes long, not", **BY_BODY, **PV),
    "P2M from the middle": Case(
        body(P2M, lambda b: struct.pack("<IIQ", 512, 600, 1)),
        "0x0 to 0x1ff are not in",
        **BY_BODY,
        **PV,
    ),
    "P2M frame too high": Case(
        bytes_of(P2M, 8, b"\xff\xff\xff\xff"), "above the last", **BY_BODY, **PV
    ),
    "SHARED_INFO short": Case(
        body(SHARED_INFO, lambda b: b[:8]), "8 bytes long, not 4096", **PV
    ),
    "vcpu number": Case(
        bytes_of(BASIC, 0, b"\0\x20"), "no domain has a vcpu 8192", **BY_BODY, **PV
    ),
    "registers short": Case(
        body(BASIC, lambda b: b[:64]), "bytes long", **BY_BODY, **PV
    ),
    "no registers of vcpu 0": Case(
        body(BASIC, lambda b: b[:8]), "before the registers of vcpu 0", **BY_BODY, **PV
    ),
    "vcpus without registers": Case(
        before(
            END,
            b"".join(record(n, struct.pack("<II", 77, 0)) for n in (4, 5, XSAVE, MSRS)),
        ),
        "",
        **PV,
    ),
    "xsave short": Case(
        before(END, record(XSAVE, struct.pack("<IIQ", 9, 0, 0))),
        "shorter than its head",
        **BY_BODY,
        **PV,
    ),
    "MSRs odd": Case(
        before(END, record(MSRS, struct.pack("<IIQ", 9, 0, 0))),
        "no whole number",
        **BY_BODY,
        **PV,
    ),
    "PARAMS unknown": Case(
        body(PARAMS, one_more_param(300)),
        "",
        simxen=SIMXEN,
        libxl=NOT_KNOWN,
        **HVM,
    ),
    "PARAMS odd": Case(body(PARAMS, lambda b: b[:-8]), "bytes long, not", **HVM),
}
# ---- memory ------------------------------------------------------------------------

MEMORY = {
    "first pages missing": Case(
        without_one(0), "never named", xen=ORDER, libxl=LOOSE_MEMORY, **PV
    ),
    "last pages missing": Case(
        without_one(-1), "never named", xen=ORDER, libxl=LOOSE_MEMORY, **PV
    ),
    "no memory": Case(without(PAGE_DATA), "never named", **BY_ORDER, **PV),
    "pages only in the verify pass": Case(
        lambda f: f.records.insert(f.last(PAGE_DATA), record(VERIFY)),
        "never named",
        xen=ORDER,
        libxl=LOOSE_MEMORY,
        **PV,
    ),
    "pages missing": Case(without_one(0), "", **HVM),
    # Xen's restore needs what registers and parameters name.
    "no memory of HVM": Case(without(PAGE_DATA), "no page came", xen=ORDER, **HVM),
    "holes only": Case(holes_only, "no page came", xen=ORDER),
    "HVM pages only in the verify pass": Case(
        before(PAGE_DATA, record(VERIFY)),
        "no page came",
        xen=ORDER,
        libxl=LOOSE_MEMORY,
        **HVM,
    ),
}

# ---- around the image --------------------------------------------------------------

AROUND = {
    "optional": Case(
        then(record(OPTIONAL | 5, b"new")), "", xen=UNKNOWN, libxl=NOT_KNOWN
    ),
    "optional before END": Case(
        lambda f: f.after.insert(-1, record(OPTIONAL) * 2),
        "",
        xen=UNKNOWN,
        libxl=NOT_KNOWN,
    ),
    "padding of an optional record": Case(
        then(record(OPTIONAL, b"x")[:-1] + ONE), "padding"
    ),
    "unknown": Case(then(record(6)), "unknown and not optional"),
    "image twice": Case(then(record(1)), "can't come after LIBXC_CONTEXT"),
    "checkpoint end": Case(then(record(4)), "can't come after", **BY_ORDER),
    "END with a body": Case(
        lambda f: f.after.__setitem__(-1, record(END, b"x")),
        "1 bytes long, not 0",
        libxl=LOOSE_BODIES,
    ),
    "no END": Case(
        lambda f: f.after.__delitem__(-1), "the stream ends here", libxl=LOOSE_END
    ),
    "half of END": Case(cut(4), "the stream ends inside it", libxl=LOOSE_END),
    "bytes behind END": Case(
        lambda f: setattr(f, "behind", b"x"),
        "behind END",
        simxen=BEHIND,
        xen=BEHIND,
        libxl=BEHIND,
    ),
    "emulator of a PV domain": Case(
        then(emulator(STATE, b"x")), "no PV domain has an emulator", **BY_ORDER, **PV
    ),
    "keys of a PV domain": Case(
        then(emulator(KEYS, b"a\0b\0")), "no PV domain has an emulator", **PV
    ),
    "no emulator number": Case(
        emulated(lambda _: [record(STATE)]), "emulator number", **HVM
    ),
    "emulator unknown": Case(
        emulated(lambda s: [changed(s, 8, b"\x09")]),
        "unknown emulator 9",
        libxl=LOOSE_EMULATOR,
        **HVM,
    ),
    "emulator index": Case(
        emulated(lambda s: [changed(s, 12, ONE)]),
        "index 1",
        xen=BODIES,
        libxl=LOOSE_EMULATOR,
        **HVM,
    ),
    "emulator twice": Case(
        emulated(lambda s: [s, s]), "can't come after", **BOTH_BY_ORDER, **HVM
    ),
    "keys": Case(keys(b"a\0b\0"), "", **HVM),
    "key without value": Case(keys(b"a\0"), "no value that ends", **HVM),
    "absolute key": Case(keys(b"/a\0b\0"), "no relative xenstore path", **HVM),
    "upward key": Case(
        keys(b"../a\0b\0"),
        "no relative xenstore path",
        libxl=LOOSE_EMULATOR,
        **HVM,
    ),
    "keys behind the state": Case(
        emulated(lambda s: [s, emulator(KEYS, b"a\0b\0")]),
        "can't come after EMULATOR_CONTEXT",
        libxl=LOOSE_ORDER,
        **HVM,
    ),
}

CASES: dict[str, Case] = {
    f"{group}: {name}": case
    for group, cases in (
        ("order", ORDERS),
        ("reserved", RESERVED),
        ("body", BODIES_CASES),
        ("memory", MEMORY),
        ("around", AROUND),
    )
    for name, case in cases.items()
}
