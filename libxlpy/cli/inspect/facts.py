"""What `xlpy inspect` tells of a file as plain values: its JSON, and the tables'."""

from collections import Counter
from typing import Any

from libxlpy.streams import RecordRead, StreamRuleBroken, XlHeaderRead
from libxlpy.streams.hvm_params import hvm_param_name
from libxlpy.streams.page_map import MANY
from libxlpy.streams.summary import FileSummary
from libxlpy.streams.xl import config_name
from libxlpy_protocol.json_text import JsonError, parse_object
from libxlpy_protocol.stream.formats import (
    DATA_PAGE_TYPES,
    EMULATOR_NAMES,
    PAGE_TYPE_NAMES,
    XlFlags,
)

Facts = dict[str, Any]


def file_facts(path: str, summary: FileSummary) -> Facts:
    """Give all facts; parts that were not reached are None.

    Returns:
        What JSON can hold, in the order of the file; sizes in bytes.
    """
    size = summary.size if summary.file_size is None else summary.file_size
    return {
        "file": path,
        "complete": summary.damage is None and summary.failure is None,
        "error": _error(summary),
        "bytes": size,
        "bytes_read": summary.size,
        "xl": _xl(summary.xl),
        "config": config_facts(summary.xl),
        "libxl": _libxl(summary),
        "libxc": _libxc(summary),
        "record_types": [
            {"layer": layer.value, "name": name, "count": c.count, "bytes": c.bytes}
            for (layer, name), c in summary.records.items()
        ],
        "memory": _memory(summary),
        "hvm_params": [
            {"index": index, "name": hvm_param_name(index), "value": value}
            for index, value in summary.params
        ],
        "emulator": _emulator(summary),
    }


def record_facts(event: RecordRead) -> Facts:
    """Give one record; its length is that of its body."""
    return {
        "offset": event.offset,
        "layer": event.layer.value,
        "type": event.type,
        "name": event.name,
        "length": event.length,
        "pages": event.pages,
        "frames": event.pfns,
    }


def _error(summary: FileSummary) -> Facts | None:
    if summary.damage is not None:
        damage = summary.damage
        return {
            "piece": damage.piece,
            "offset": damage.offset,
            "reason": damage.reason,
        }
    if summary.failure is not None:
        reason = summary.failure.strerror or str(summary.failure)
        return {"piece": "file", "offset": summary.size, "reason": reason}
    return None


# ---- headers ---------------------------------------------------------------------


def _xl(header: XlHeaderRead | None) -> Facts | None:
    if header is None:
        return None
    flags = [flag.name for flag in XlFlags if flag & header.mandatory_flags]
    return {
        "offset": header.offset,
        "length": header.length,
        "mandatory_flags": int(header.mandatory_flags),
        "mandatory_flag_names": flags,
        "optional_flags": int(header.optional_flags),
    }


#: Fact -> where libxl's JSON keeps it, and the type it has there.
_CONFIG_FACTS: dict[str, tuple[str, str, type]] = {
    "type": ("c_info", "type", str),
    "uuid": ("c_info", "uuid", str),
    "domid": ("c_info", "domid", int),
    "memory_kib": ("b_info", "target_memkb", int),
    "max_memory_kib": ("b_info", "max_memkb", int),
    "vcpus": ("b_info", "max_vcpus", int),
}


def config_facts(header: XlHeaderRead | None) -> Facts | None:
    """Give what a configuration says of its domain; None if the file has none."""
    if header is None or header.config is None:
        return None
    facts: Facts = {
        "format": "json" if header.config_is_json else "text",
        "bytes": len(header.config),
    }
    config = parsed_config(header)
    name = config_name(header) if config else None
    facts["name"] = name
    for fact, (part, key, kind) in _CONFIG_FACTS.items():
        inside = config.get(part)
        value = inside.get(key) if isinstance(inside, dict) else None
        facts[fact] = value if type(value) is kind else None
    return facts


def parsed_config(header: XlHeaderRead) -> Facts:
    """Give a configuration's JSON; {} if it is xl's text or breaks JSON's rules."""
    if not header.config_is_json or header.config is None:
        return {}
    try:
        return parse_object(header.config)
    except JsonError:
        return {}


def config_error(header: XlHeaderRead | None) -> StreamRuleBroken | None:
    """Give what is wrong with a configuration that claims to be JSON."""
    try:
        config_name(header)
    except StreamRuleBroken as exc:
        return exc
    return None


def _libxl(summary: FileSummary) -> Facts | None:
    header = summary.libxl
    if header is None:
        return None
    return {
        "offset": header.offset,
        "version": header.version,
        "converted": header.legacy,
    }


def _libxc(summary: FileSummary) -> Facts | None:
    header = summary.libxc
    if header is None:
        return None
    major, minor = header.xen_version
    return {
        "offset": header.offset,
        "version": header.version,
        "domain_type": header.domain_type,
        "xen_version": f"{major}.{minor}" if major else None,
        "guest_width": summary.guest_width,
        "p2m_frames": summary.p2m_frames,
        "tsc": None
        if summary.tsc is None
        else {
            "mode": summary.tsc.mode,
            "khz": summary.tsc.khz,
            "incarnation": summary.tsc.incarnation,
        },
    }


# ---- memory ----------------------------------------------------------------------


def _memory(summary: FileSummary) -> Facts:
    frames, again, times = _frames(summary)
    copies = sum(summary.entries[kind] for kind in DATA_PAGE_TYPES)
    distinct = sum(times.values())
    return {
        "page_types": [
            {
                "name": name,
                "entries": summary.entries[kind],
                "frames": frames[kind],
                "sent_again": again[kind],
            }
            for kind, name in PAGE_TYPE_NAMES.items()
            if summary.entries[kind]
        ],
        "entries": sum(summary.entries.values()),
        "frames": sum(frames.values()),
        "highest_frame": summary.frames.highest,
        "frames_beyond_map": summary.frames.beyond >= 0,
        "pages": copies,
        "frames_with_data": distinct,
        "frames_sent_again": distinct - times[1],
        "repeats": copies - distinct,
        "times_sent": {
            f"{n}+" if n == MANY else str(n): times[n] for n in sorted(times)
        },
        "verify_entries": summary.verify_entries,
        "page_bytes": summary.page_bytes,
        "other_bytes": summary.size - summary.page_bytes,
    }


def _frames(summary: FileSummary) -> tuple[Counter[int], Counter[int], Counter[int]]:
    """Count frames by last type, those sent again by it, and all by times sent."""
    frames: Counter[int] = Counter()
    again: Counter[int] = Counter()
    times: Counter[int] = Counter()
    for value, count in summary.frames.histogram().items():
        kind, sent = value >> 4, value & 15
        frames[kind] += count
        if sent:
            times[sent] += count
        if sent > 1:
            again[kind] += count
    return frames, again, times


def _emulator(summary: FileSummary) -> Facts | None:
    if summary.emulator_id is None:
        return None
    return {
        "id": summary.emulator_id,
        "name": EMULATOR_NAMES.get(summary.emulator_id, "unknown"),
        "state_bytes": summary.emulator_bytes,
        "xenstore_keys": summary.emulator_keys,
    }
