"""The facts of `xlpy inspect` as tables: rich ones on a terminal, else aligned text."""

from collections.abc import Iterator, Sequence

from libxlpy.cli.inspect.facts import Facts
from libxlpy.cli.terminal.output import one_line, size_text
from libxlpy.streams import RecordRead
from libxlpy.streams.page_map import MAX_FRAMES
from libxlpy_protocol.value import Value
from libxlpy_protocol.xen import PAGE_SIZE

#: Widths of the list of records, which is printed before it is known whole.
_RECORD = "{:>16}  {:<5}  {:<24} {:>12} {:>8} {:>8}"
RECORD_TITLES = _RECORD.format("Offset", "Layer", "Record", "Bytes", "Frames", "Pages")
UNKNOWN = "not reached"


class Table(Value):
    """One table.

    Attributes:
        title: What it is about.
        rows: Cells, as text that is safe to print; all rows have as many.
        head: Titles of its columns; empty for a list of names and values.
    """

    title: str
    rows: Sequence[tuple[str, ...]]
    head: tuple[str, ...] = ()


def record_line(event: RecordRead) -> str:
    """Give one record as a line below `RECORD_TITLES`."""
    frames = f"{event.pfns:,}" if event.pfns else ""
    pages = f"{event.pages:,}" if event.pages else ""
    return _RECORD.format(
        f"{event.offset:,}",
        event.layer.value,
        event.name,
        f"{event.length:,}",
        frames,
        pages,
    ).rstrip()


def printable(line: str) -> str:
    """Give a line with its spaces, and with nothing that a terminal would obey."""
    start = len(line) - len(line.lstrip(" "))
    return " " * start + one_line(line)


# ---- tables, in the order in which they are printed -----------------------------


def tables(facts: Facts) -> Iterator[Table]:
    """Give all tables of one file."""
    yield Table(one_line(facts["file"]), list(_domain_rows(facts)))
    yield Table("Headers", list(_header_rows(facts)))
    if facts["record_types"]:
        yield _record_table(facts)
    memory = facts["memory"]
    if memory["entries"]:
        yield _type_table(memory)
        yield Table("Memory", list(_memory_rows(memory)))
        yield Table("Sizes", list(_size_rows(facts)))
    if facts["hvm_params"]:
        rows = [(p["name"], f"{p['value']:#x}") for p in facts["hvm_params"]]
        yield Table("HVM parameters", rows)
    if facts["emulator"]:
        yield Table("Emulator", list(_emulator_rows(facts["emulator"])))


def _domain_rows(facts: Facts) -> Iterator[tuple[str, str]]:
    size = facts["bytes"]
    yield "size", _bytes(size)
    if not facts["complete"]:
        yield "read up to", f"{facts['bytes_read']:,}"
    config = facts["config"]
    if config is None:
        yield "configuration", "none" if facts["xl"] else UNKNOWN
        return
    for label, value in (
        ("name", config["name"]),
        ("type", config["type"]),
        ("uuid", config["uuid"]),
        ("domid", config["domid"]),
        ("vcpus", config["vcpus"]),
        ("memory", _kib(config["memory_kib"])),
        ("memory, at most", _kib(config["max_memory_kib"])),
    ):
        if value is not None:
            yield label, one_line(str(value))
    kind = "JSON" if config["format"] == "json" else "xl's text format"
    yield "configuration", f"{kind}, {_bytes(config['bytes'])}"


def _header_rows(facts: Facts) -> Iterator[tuple[str, str]]:
    xl, libxl, libxc = facts["xl"], facts["libxl"], facts["libxc"]
    if xl:
        flags = " | ".join(xl["mandatory_flag_names"]) or "none"
        optional = f"{xl['optional_flags']:#x}" if xl["optional_flags"] else "none"
        yield "xl", f"{xl['length']:,} bytes with configuration"
        yield "xl flags", f"mandatory {flags}, optional {optional}"
    else:
        yield "xl", UNKNOWN
    if libxl:
        converted = ", converted from before Xen 4.6" if libxl["converted"] else ""
        yield "libxl stream", f"version {libxl['version']}{converted}"
    else:
        yield "libxl stream", UNKNOWN
    if not libxc:
        yield "libxc image", UNKNOWN
        return
    writer = f"Xen {libxc['xen_version']}" if libxc["xen_version"] else "a converter"
    yield "libxc image", f"version {libxc['version']}"
    yield "domain", f"{_domain_type(libxc)}, saved by {writer}"
    if libxc["tsc"]:
        tsc = libxc["tsc"]
        mode, mhz, restored = tsc["mode"], tsc["khz"] / 1000, tsc["incarnation"]
        yield "clock", f"TSC mode {mode}, {mhz:,.3f} MHz, incarnation {restored}"


def _domain_type(libxc: Facts) -> str:
    if libxc["domain_type"] == "HVM":
        return "HVM or PVH"
    width = f", {8 * libxc['guest_width']}-bit" if libxc["guest_width"] else ""
    frames = f", {libxc['p2m_frames']:,} frames" if libxc["p2m_frames"] else ""
    return f"PV{width}{frames}"


def _record_table(facts: Facts) -> Table:
    rows = [
        (t["layer"], t["name"], f"{t['count']:,}", f"{t['bytes']:,}")
        for t in facts["record_types"]
    ]
    return Table("Records", rows, ("Layer", "Record", "Count", "Bytes"))


def _type_table(memory: Facts) -> Table:
    rows = [
        (
            t["name"],
            f"{t['frames']:,}",
            size_text(t["frames"] * PAGE_SIZE),
            f"{t['sent_again']:,}",
            f"{t['entries']:,}",
        )
        for t in memory["page_types"]
    ]
    head = ("Page type", "Frames", "Memory", "Sent again", "Entries")
    return Table("Page types", rows, head)


def _memory_rows(memory: Facts) -> Iterator[tuple[str, str]]:
    frames, highest = memory["frames"], memory["highest_frame"]
    if memory["frames_beyond_map"]:
        yield (
            "frames named",
            f"{frames:,}, and others beyond the limit of {MAX_FRAMES:#x}",
        )
    else:
        yield "frames named", f"{frames:,}"
    yield "highest frame", f"{highest:#x}, at {size_text(highest * PAGE_SIZE)}"
    with_data = memory["frames_with_data"]
    yield "with contents", f"{with_data:,}, {size_text(with_data * PAGE_SIZE)}"
    yield "pages sent", f"{memory['pages']:,}"
    yield "sent again", _again(memory)
    if len(memory["times_sent"]) > 1:
        yield "frames by times sent", _times(memory["times_sent"])
    if memory["verify_entries"]:
        yield "verify pass", f"{memory['verify_entries']:,} entries, not counted above"


def _again(memory: Facts) -> str:
    if memory["frames_beyond_map"] or not memory["repeats"]:
        return "not known" if memory["frames_beyond_map"] else "none"
    return f"{memory['frames_sent_again']:,} frames, {memory['repeats']:,} times in all"


def _times(times: dict[str, int]) -> str:
    return ", ".join(f"{n} x: {frames:,}" for n, frames in times.items())


def _size_rows(facts: Facts) -> Iterator[tuple[str, str]]:
    contents, other = facts["memory"]["page_bytes"], facts["memory"]["other_bytes"]
    yield "page contents", _bytes(contents)
    if facts["complete"]:  # else that may be contents, too
        yield "everything else", f"{_bytes(other)}, {other / (contents + other):.2%}"


def _emulator_rows(emulator: Facts) -> Iterator[tuple[str, str]]:
    yield "emulator", f"{emulator['name']} (id {emulator['id']})"
    state = emulator["state_bytes"]
    yield "state", "none" if state is None else _bytes(state)
    yield "keys in xenstore", f"{emulator['xenstore_keys']:,}"


def _kib(kib: int | None) -> str | None:
    return None if kib is None else size_text(kib * 1024)


def _bytes(size: int) -> str:
    """Give a size to read, and exactly."""
    return f"{size:,} bytes" if size < 1024 else f"{size_text(size)} ({size:,} bytes)"
