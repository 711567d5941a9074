"""What happens in one save or migration, gathered for its report."""

import time
from typing import Final

from libxlpy import (
    DomainInfo,
    Iteration,
    JobError,
    JobEvent,
    JobReport,
    MigrateResult,
    PhaseEvent,
    PrecopyEvent,
    SaveResult,
    StatEvent,
)

#: Samples kept; of more, every second one goes.
SAMPLES_MOST: Final = 4000
#: Phase of a job in which its guest is asked to suspend, and after which it may run.
ASKED: Final = "suspend"
SEEN: Final = "suspended"
#: Phases that end what the guest was down for: at the sender of a migration, in a save.
AGAIN: Final = ("moved", "complete", "settle", "done")

#: (seconds since the job began, value)
Point = tuple[float, float]


class Story:
    """One job, from what is told while it runs and from how it ended."""

    def __init__(self, kind: str, where: str) -> None:
        """Begin one.

        Args:
            kind: ``"save"`` or ``"migration"``.
            where: File, or the target as it was given.
        """
        self.kind = kind
        self.where = where
        self.domain: DomainInfo | None = None
        #: Wall clock, seconds.
        self.began = time.time()
        self.result: SaveResult | MigrateResult | None = None
        #: Milliseconds, as known in the end.
        self.downtime: float | None = None
        #: What the command has left it as; "" if nothing else than the job.
        self.guest = ""
        #: How it failed, as one line; "" if it did not.
        self.failed = ""
        self.error: JobError | None = None
        #: Bytes of the stream.
        self.sent: list[Point] = []
        #: Passes that were looked at while the guest ran, and when.
        self.looked_at: list[tuple[float, PrecopyEvent]] = []
        #: What the clock said when the job began.
        self._clock = time.monotonic()

    def hear(self, event: JobEvent) -> None:
        """Take an event as it happens."""
        now = time.monotonic()
        match event:
            case PhaseEvent(_, at):
                self._clock = now - at
            case StatEvent():
                self.sent.append((now - self._clock, float(event.bytes_done)))
                if len(self.sent) > SAMPLES_MOST:
                    del self.sent[1::2]
            case PrecopyEvent():
                self.looked_at.append((now - self._clock, event))
            case _:
                pass

    # ----- what is told -----------------------------------------------------------

    @property
    def report(self) -> JobReport | None:
        """All that is known of the job; None if there was none."""
        if self.result is not None:
            return self.result.report
        return None if self.error is None else self.error.details

    @property
    def history(self) -> tuple[Iteration, ...]:
        """Passes over memory."""
        return () if self.report is None else self.report.statistics.history

    @property
    def phases(self) -> list[tuple[str, float, float]]:
        """(phase, when it began, how long it took) in order, seconds."""
        if self.report is None:
            return []
        timeline = self.report.timeline
        ends = [*(at for _, at in timeline[1:]), self.report.duration]
        return [
            (name, at, max(end - at, 0.0))
            for (name, at), end in zip(timeline, ends, strict=True)
        ]

    @property
    def down(self) -> tuple[float, float] | None:
        """When the guest was suspended, and until when; None if it was not."""
        began = next((at for name, at, _ in self.phases if name == SEEN), None)
        if began is None:
            return None
        ends = [at for name, at, _ in self.phases if name in AGAIN and at > began]
        moved = [at for name, at, _ in self.phases if name == AGAIN[0]]
        return began, (moved or ends or [self.duration])[0]

    @property
    def duration(self) -> float:
        """Seconds, all clean-up included."""
        return 0.0 if self.report is None else self.report.duration

    @property
    def parts(self) -> list[tuple[str, float]]:
        """(part, milliseconds) of the downtime, in order of execution.

        Of a migration as ``MigrateResult`` has them; else phases, from when the guest
        was asked to suspend.
        """
        if isinstance(self.result, MigrateResult):
            parts = self.result.downtime_parts
            return [(name.replace("_", " "), ms) for name, ms in parts.items()]
        names = [name for name, _, _ in self.phases]
        if ASKED not in names:
            return []
        rest = self.phases[names.index(ASKED) :]
        ends = [place for place, part in enumerate(rest) if part[0] in AGAIN]
        rest = rest[: ends[0]] if ends else rest
        return [(name, took * 1e3) for name, _, took in rest]

    @property
    def dirty(self) -> list[Point]:
        """Pages that were left to be sent, over time: before the first pass, all."""
        if not self.looked_at or not self.history:
            return []
        first, _ = self.looked_at[0]
        points = [
            (max(first - self.history[0].seconds, 0.0), self.history[0].pages_sent)
        ]
        for at, event in self.looked_at:
            if event.dirty_found is not None:
                points.append((at, event.dirty_found))
        if self.down is not None:
            points.append((self.down[0], self.history[-1].pages_sent))
        return [(at, float(pages)) for at, pages in points]

    @property
    def rates(self) -> list[Point]:
        """Bytes a second, each until when it was measured."""
        pairs = zip(self.sent, self.sent[1:], strict=False)
        return [
            (to, max(after - before, 0.0) / (to - since))
            for (since, before), (to, after) in pairs
            if to - since > 0.02
        ]
