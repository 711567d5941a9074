"""Xen's own helper protocol as tables, one for each range of releases.

libxl and its libxl-save-helper carry no version and must come from the same Xen; the
numbers moved whenever a message was added. What each message means is said once, in
:mod:`libxlpy_protocol.table`; here is how libxl's wire spells it. On no table is
``precopy_policy``: libxl never passes it on. Nor is ``toolstack_save`` of Xen 4.2 to
4.5: libxl collected the bytes first and gave the helper a file of them, by argv.

Xen: tools/libs/light/libxl_save_msgs_gen.pl, ``@msgs``, in each release.
"""

from __future__ import annotations

import enum

from libxlpy_protocol import messages as m
from libxlpy_protocol.enums import Mode
from libxlpy_protocol.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

__all__ = [
    "LIBXL_TABLES",
    "NEWEST",
    "CType",
    "LibxlRule",
    "LibxlTable",
    "libxl_table",
]

SAVE: Final = frozenset({Mode.SAVE, Mode.REMUS})
RESTORE: Final = frozenset({Mode.RESTORE})
BOTH: Final = SAVE | RESTORE


class CType(enum.Enum):
    """How one argument lies on the wire; native byte order, no padding."""

    #: uint32_t or unsigned int.
    U32 = "uint32_t"
    #: int, or a uint32_t that holds one (errno of a log line: -1 is none).
    I32 = "int"
    #: unsigned int that is 0 or 1.
    FLAG = "unsigned"
    #: unsigned long or xen_pfn_t.
    ULONG = "unsigned long"
    #: u32 size and that many bytes, the last one NUL.
    STRING = "STRING"
    #: u32 size and that many bytes.
    BLOCK = "BLOCK"


class LibxlRule(Value):
    """One message on one release's wire.

    Attributes:
        kind: The message that it carries.
        modes: Who sends it, a helper that saves or one that restores.
        args: Our field's name ("" = we have none) and C type, in wire order.
        answered: The parent answers it, by one int.
        is_callback: libxl may not have it, and says so in argv's callback mask.
    """

    kind: type[m.Message]
    modes: frozenset[Mode] = BOTH
    args: tuple[tuple[str, CType], ...] = ()
    answered: bool = False
    is_callback: bool = False


class LibxlTable(Value):
    """The wire of Xen 4.``first`` to 4.``last`` (None: the newest known)."""

    first: int
    last: int | None
    rules: dict[int, LibxlRule]

    def number_of(self, kind: type[m.Message]) -> int | None:
        """Return the number of a message; None if this wire has no such message."""
        numbers = (n for n, rule in self.rules.items() if rule.kind is kind)
        return next(numbers, None)


def _call(
    kind: type[m.Message], modes: frozenset[Mode], *args: tuple[str, CType]
) -> LibxlRule:
    return LibxlRule(kind, modes, args, answered=True, is_callback=True)


_LOG: Final = LibxlRule(
    m.Log,
    BOTH,
    (
        ("level", CType.U32),
        ("errnoval", CType.I32),
        ("context", CType.STRING),
        ("text", CType.STRING),
    ),
)
_PROGRESS: Final = LibxlRule(
    m.Progress,
    BOTH,
    (
        ("context", CType.STRING),
        ("doing_what", CType.STRING),
        ("done", CType.ULONG),
        ("total", CType.ULONG),
    ),
)
_LOGDIRTY: Final = _call(
    m.SwitchQemuLogdirty, SAVE, ("domid", CType.U32), ("enable", CType.FLAG)
)
_STATIC_DATA: Final = _call(m.StaticDataDone, RESTORE, ("missing", CType.U32))
_TOOLSTACK: Final = _call(
    m.ToolstackRestore, RESTORE, ("domid", CType.U32), ("data", CType.BLOCK)
)
_GFNS: Final = (("store_gfn", CType.ULONG), ("console_gfn", CType.ULONG))
_RESULTS: Final = LibxlRule(m.RestoreResults, RESTORE, _GFNS)
_RESULTS_OR_NULL: Final = LibxlRule(m.RestoreResults, RESTORE, _GFNS, is_callback=True)
#: The third is the guest address of the generation id; nothing of ours takes it.
_RESULTS_GENID: Final = LibxlRule(
    m.RestoreResults, RESTORE, (*_GFNS, ("", CType.ULONG))
)
_COMPLETE: Final = LibxlRule(
    m.Complete, BOTH, (("retval", CType.I32), ("errnoval", CType.I32)), answered=True
)


def _numbered(*rules: LibxlRule) -> dict[int, LibxlRule]:
    return dict(enumerate(rules, start=1))


_XEN_4_2: Final = _numbered(
    _LOG,
    _PROGRESS,
    _call(m.Suspend, SAVE),
    _call(m.Postcopy, SAVE),
    _call(m.Checkpoint, SAVE),
    _LOGDIRTY,
    _TOOLSTACK,
    _RESULTS_GENID,
    _COMPLETE,
)
_XEN_4_6: Final = _numbered(
    _LOG,
    _PROGRESS,
    _call(m.Suspend, SAVE),
    _call(m.Postcopy, SAVE),
    _call(m.Checkpoint, BOTH),
    _LOGDIRTY,
    _RESULTS,
    _COMPLETE,
)
_XEN_4_7: Final = _numbered(
    _LOG,
    _PROGRESS,
    _call(m.Suspend, BOTH),
    _call(m.Postcopy, BOTH),
    _call(m.Checkpoint, BOTH),
    _call(m.WaitCheckpoint, BOTH),
    _LOGDIRTY,
    _RESULTS_OR_NULL,
    _COMPLETE,
)
_XEN_4_14: Final = _numbered(
    _LOG,
    _PROGRESS,
    _call(m.Suspend, BOTH),
    _call(m.Postcopy, BOTH),
    _call(m.Checkpoint, BOTH),
    _call(m.WaitCheckpoint, BOTH),
    _LOGDIRTY,
    _STATIC_DATA,
    _RESULTS_OR_NULL,
    _COMPLETE,
)

#: By release, oldest first.
LIBXL_TABLES: Final = (
    LibxlTable(2, 4, _XEN_4_2),
    LibxlTable(5, 5, _XEN_4_2 | {8: _RESULTS}),
    LibxlTable(6, 6, _XEN_4_6),
    LibxlTable(7, 13, _XEN_4_7),
    LibxlTable(14, None, _XEN_4_14),
)
#: Of every release that libxlpy works with; its numbers are those of ``MESSAGES``.
NEWEST: Final = LIBXL_TABLES[-1]


def libxl_table(minor: int) -> LibxlTable:
    """Return the table of Xen 4.``minor``.

    Raises:
        ValueError: That release has no helper.
    """
    for table in LIBXL_TABLES:
        if table.first <= minor and (table.last is None or minor <= table.last):
            return table
    raise ValueError(f"Xen 4.{minor} has no save helper: it came with Xen 4.2")
