"""The one table of libxc records: who may contain them, where, how often, with what.

Source: Xen, docs/specs/libxc-migration-stream.pandoc, revision 3. The order is that of
Xen's savers; HVM_CONTEXT comes before or after HVM_PARAMS, as the text of the
specification and the code of the saver disagree.
"""

import enum
from collections.abc import Callable

from libxlpy.streams import bodies
from libxlpy.streams.image import Image
from libxlpy.streams.pull import Reading
from libxlpy_protocol.stream.formats import LibxcRecord as Record
from libxlpy_protocol.value import Value


class Stage(enum.IntEnum):
    """Parts of an image, in their order."""

    STATIC = 0  #: what the domain is
    MEMORY = 1  #: its pages
    STATE = 2  #: processors, clocks, devices of Xen itself


class Times(enum.Enum):
    """How often a record may come."""

    ONCE = "once in a stream"
    ONCE_PER_CHECKPOINT = "once until the next checkpoint"
    ANY = "any number of times"


class Domains(enum.Enum):
    """Which domains have a record."""

    PV = "PV"
    HVM = "HVM"
    ALL = "any"


class Rule(Value):
    """What is asked of one type of record.

    Attributes:
        body: Reads and checks the body.
        stage: Part of the image in which it comes.
        domains: Domains that have it.
        times: How often.
        after: Records that must have come before it, if the domain has them.
        min_version: First version of the format with it.
    """

    body: Callable[[Image, int], Reading]
    stage: Stage
    domains: Domains = Domains.ALL
    times: Times = Times.ONCE_PER_CHECKPOINT
    after: tuple[Record, ...] = ()
    min_version: int = 2


_INFO = (Record.X86_PV_INFO,)
#: What an image needs to be complete.
_WHOLE = (
    Record.X86_PV_INFO,
    Record.X86_PV_P2M_FRAMES,
    Record.SHARED_INFO,
    Record.X86_PV_VCPU_BASIC,
    Record.HVM_CONTEXT,
    Record.HVM_PARAMS,
)
_STATIC, _MEMORY, _STATE = Stage.STATIC, Stage.MEMORY, Stage.STATE
_ONCE, _ANY = Times.ONCE, Times.ANY
_PV, _HVM, _ALL = Domains.PV, Domains.HVM, Domains.ALL

RULES: dict[Record, Rule] = {
    Record.X86_PV_INFO: Rule(bodies.pv_info, _STATIC, _PV, _ONCE),
    Record.X86_CPUID_POLICY: Rule(
        bodies.cpuid_policy, _STATIC, _ALL, _ONCE, min_version=3
    ),
    Record.X86_MSR_POLICY: Rule(bodies.msr_policy, _STATIC, _ALL, _ONCE, min_version=3),
    Record.STATIC_DATA_END: Rule(bodies.empty, _STATIC, _ALL, _ONCE, _INFO, 3),
    Record.X86_PV_P2M_FRAMES: Rule(bodies.p2m_frames, _MEMORY, _PV, _ONCE, _INFO),
    Record.PAGE_DATA: Rule(
        bodies.page_data, _MEMORY, _ALL, _ANY, (Record.X86_PV_P2M_FRAMES,)
    ),
    Record.VERIFY: Rule(bodies.verify, _MEMORY, _ALL, _ONCE),
    Record.X86_TSC_INFO: Rule(bodies.tsc_info, _STATE),
    Record.SHARED_INFO: Rule(bodies.shared_info, _STATE, _PV, after=_INFO),
    Record.X86_PV_VCPU_BASIC: Rule(bodies.vcpu_basic, _STATE, _PV, _ANY, _INFO),
    Record.X86_PV_VCPU_EXTENDED: Rule(bodies.vcpu_extended, _STATE, _PV, _ANY, _INFO),
    Record.X86_PV_VCPU_XSAVE: Rule(bodies.vcpu_xsave, _STATE, _PV, _ANY, _INFO),
    Record.X86_PV_VCPU_MSRS: Rule(bodies.vcpu_msrs, _STATE, _PV, _ANY, _INFO),
    Record.HVM_CONTEXT: Rule(bodies.opaque, _STATE, _HVM),
    Record.HVM_PARAMS: Rule(bodies.hvm_params, _STATE, _HVM),
    Record.CHECKPOINT: Rule(bodies.whole, _STATE, after=_WHOLE),
    Record.END: Rule(bodies.whole, _STATE, after=_WHOLE),
}

#: Types that the specification names and that no such stream may hold.
REFUSED: dict[int, str] = {
    Record.TOOLSTACK: "it is no longer part of the format",
    Record.CHECKPOINT_DIRTY_PFN_LIST: "it belongs to COLO's back channel",
}
