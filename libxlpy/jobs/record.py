"""What is noted while a job runs: phases, figures, logs, the helper's verdict."""

import time
from collections import deque

from libxlpy.events import EventFeed, LogEvent, ProgressEvent
from libxlpy.jobs.meter import Meter
from libxlpy.results.report import GuestState, ImageState, JobReport, Rusage
from libxlpy.results.statistics import IoCounts
from libxlpy_protocol.messages import Complete, Log, Progress, RestoreResults, Stat
from libxlpy_protocol.xen import XTL_ERROR, XTL_NAMES

#: Log lines kept for the report.
LOGS_KEPT = 40
#: Later failures kept for the report.
LATER_KEPT = 20
#: Phases kept for the report; a checkpointed save enters them again and again.
PHASES_KEPT = 200


class Record:
    """The notes of one job."""

    def __init__(self) -> None:
        self.began = time.monotonic()
        self.feed = EventFeed()
        self.meter = Meter(self.began)
        self.phase = ""
        #: Phase at the first failure.
        self.failed_phase = ""
        self.timeline: deque[tuple[str, float]] = deque(maxlen=PHASES_KEPT)
        self.logs: deque[str] = deque(maxlen=LOGS_KEPT)
        self.later: list[str] = []
        #: What did not fail the job, and people should know all the same.
        self.remarks: list[str] = []
        #: Text of the first log line at level error: the cause, later ones follow.
        self.first_error = ""
        self.stat: Stat | None = None
        self.complete: Complete | None = None
        self.restore_results: RestoreResults | None = None
        self.stream_moved = False
        #: The helper has claimed success, and it was seen that this is not true.
        self.refuted = False
        self.exit_status = ""
        self.rusage: Rusage | None = None
        self.stderr_tail = ""
        self.frames: tuple[str, ...] = ()

    def remark(self, text: str) -> None:
        """Take a remark for the report, once; a settling may be done anew."""
        if text not in self.remarks:
            self.remarks.append(text)

    def enter(self, phase: str) -> float:
        """Note a phase; give the seconds since the job began."""
        at = time.monotonic() - self.began
        self.phase = phase
        self.meter.enter(phase)
        self.timeline.append((phase, at))
        return at

    def log(self, level: int, context: str, text: str) -> None:
        """Note a log line."""
        if level >= XTL_ERROR and not self.first_error:
            self.first_error = text
        name = XTL_NAMES[level] if level < len(XTL_NAMES) else str(level)
        self.logs.append(f"{name}: {context}: {text}")

    def news(self, message: Log | Progress) -> None:
        """Note what a helper tells by the way, and pass it on to who listens."""
        match message:
            case Log(level, errnoval, context, text):
                self.log(level, context, text)
                self.feed.publish(LogEvent(level, errnoval, context, text))
            case Progress(context, doing_what, done, total):
                self.meter.progress(message)
                self.feed.publish(ProgressEvent(context, doing_what, done, total))

    def moved(self, stat: Stat, io: IoCounts | None = None) -> bool:
        """Note figures; tell whether the stream has moved since the last ones."""
        self.meter.stat(stat, io)
        before, self.stat = self.stat, stat
        return before is None or (
            (before.bytes_done, before.pages, before.phase)
            != (stat.bytes_done, stat.pages, stat.phase)
        )

    def completed(self, complete: Complete) -> None:
        """Note the helper's verdict."""
        self.complete = complete
        if complete.retval == 0 and not complete.aborted:
            self.meter.completed()

    # ----- at the end -------------------------------------------------------------

    def image(self) -> ImageState:
        """Give what the stream holds, by what was said and where the file stands."""
        complete = self.complete
        claimed = complete is not None and not (complete.retval or complete.aborted)
        if claimed and not self.refuted:
            return ImageState.COMPLETE
        return ImageState.PARTIAL if self.stream_moved else ImageState.NONE

    def report(
        self, what: str, domid: int, guest: GuestState, repairs: tuple[str, ...]
    ) -> JobReport:
        """Give everything as a report."""
        return JobReport(
            what=what,
            domid=domid,
            guest=guest,
            image=self.image(),
            repairs=repairs,
            phase=self.failed_phase or self.phase,
            timeline=tuple(self.timeline),
            duration=time.monotonic() - self.began,
            log_lines=tuple(self.logs),
            frames=self.frames,
            exit_status=self.exit_status,
            rusage=self.rusage,
            stderr_tail=self.stderr_tail,
            later_errors=tuple(self.later[:LATER_KEPT]),
            remarks=tuple(self.remarks[:LATER_KEPT]),
            statistics=self.meter.snapshot(),
        )
