"""Which frames of a PV domain an image has named: one bit each.

Xen's saver names each frame from 0 to the last one in its first pass, also those that
have no page: a frame that was never named lay in a record that is missing. The list of
P2M frames takes one byte of the stream for eight of ours, for sixteen if the guest has
32 bits. An HVM image does not say how many frames it has.

Xen: tools/libs/guest/xg_sr_save.c, send_all_pages() and write_batch().
"""

from collections.abc import Sequence

#: Frames that are kept track of, 1 TiB of memory: 32 MiB of ours at most.
MAX_FRAMES = 1 << 28


class NamedFrames:
    """Frames 0 to the last one of a domain, none of which was named yet."""

    def __init__(self, last: int) -> None:
        self._count = min(last + 1, MAX_FRAMES)
        self._bits = bytearray((self._count + 7) // 8)

    def add(self, pfns: Sequence[int]) -> None:
        """Take frames that were named, at least one."""
        first, count = pfns[0], len(pfns)
        if pfns[-1] - first == count - 1 and tuple(pfns) == (
            *range(first, first + count),
        ):
            self._add_run(first, count)
            return
        for pfn in pfns:
            if pfn < self._count:
                self._bits[pfn >> 3] |= 1 << (pfn & 7)

    def _add_run(self, first: int, count: int) -> None:
        count = min(count, self._count - first)
        if count <= 0:
            return
        at, end = first >> 3, (first + count + 7) >> 3
        old = int.from_bytes(self._bits[at:end], "little")
        new = old | ((1 << count) - 1) << (first & 7)
        self._bits[at:end] = new.to_bytes(end - at, "little")

    def first_missing(self) -> int | None:
        """Give the lowest frame that was never named; None if all were."""
        left = self._bits.lstrip(b"\xff")
        if not left:
            return None
        at = len(self._bits) - len(left)
        bit = (~left[0] & (left[0] + 1)).bit_length() - 1
        missing = at * 8 + bit
        return missing if missing < self._count else None
