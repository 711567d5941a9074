"""What a job that succeeded has done, one class for each kind."""

from typing import TYPE_CHECKING, Any, Self

from libxlpy.results.downtime import downtime_parts
from libxlpy.results.report import GuestState, ImageState, JobReport
from libxlpy.results.statistics import Statistics
from libxlpy_protocol.value import Value

if TYPE_CHECKING:
    from libxlpy_protocol.messages import RestoreResults, Stat


class _Result(Value, kw_only=True):
    """What all of them have."""

    #: It has here, or had.
    domid: int
    #: What is here.
    guest: GuestState
    #: (phase, seconds since the start of the job) in order.
    timeline: tuple[tuple[str, float], ...]
    #: Seconds, all clean-up included.
    duration: float
    report: JobReport

    @property
    def statistics(self) -> Statistics:
        """Figures as of the end."""
        return self.report.statistics

    def __repr__(self) -> str:
        """Show the call that makes it, but for the report, which is long."""
        shown = [f"{n}={each!r}" for n, each in vars(self).items() if n != "report"]
        return f"{type(self).__qualname__}({', '.join(shown)})"


class _Written(_Result, kw_only=True):
    """What those have that wrote a stream."""

    #: Precopy iterations, 0 for a save that was not live.
    iterations: int
    #: Guest pages sent, repeats counted.
    pages: int
    #: Bytes written to the stream.
    bytes_written: int
    #: Nanoseconds from the guest seen suspended until the stream was complete, of a
    #: migration until the other end said that it runs.
    downtime_ns: int


class SaveResult(_Written, kw_only=True):
    """A save that ran to its end; the guest is left as the save left it.

    Its downtime is that of the guest if another host takes over. One that is resumed
    here was down for longer, ``Context.domain_resume`` gives how long; 0 if nobody
    suspended it.
    """

    image: ImageState

    @classmethod
    def of(cls, report: JobReport, stat: "Stat | None") -> Self:
        """Put it together from the report and the helper's last heartbeat."""
        return cls(**_written(report, stat), image=report.image)


class MigrateResult(_Written, kw_only=True):
    """A domain that runs at the other end.

    Here it is GONE; SUSPENDED if it could not be destroyed, ``recover`` does it.
    """

    name: str
    #: Part -> milliseconds, in order: see docs/statistics.md.
    downtime_parts: dict[str, float]

    @classmethod
    def of(cls, report: JobReport, stat: "Stat | None", name: str) -> Self:
        """Put it together from the report and the helper's last heartbeat."""
        parts = downtime_parts(report.timeline)
        return cls(**_written(report, stat), name=name, downtime_parts=parts)


class RemusResult(_Written, kw_only=True):
    """A protection that was ended as it was asked to be."""

    #: The last one that the backup held.
    epoch: int
    #: The guest runs at the backup; else it runs on here, and the backup has no copy.
    switched_over: bool

    @classmethod
    def of(
        cls, report: JobReport, stat: "Stat | None", epoch: int, switched_over: bool
    ) -> Self:
        """Put it together from the report and the helper's last heartbeat."""
        known = _written(report, stat)
        return cls(**known, epoch=epoch, switched_over=switched_over)


class RestoreResult(_Result, kw_only=True):
    """A restore that ran to its end."""

    name: str
    #: Guest frame numbers of the xenstore and console rings; 0 for HVM-like domains.
    store_gfn: int
    console_gfn: int
    #: Bytes read from the stream as the helper counted them.
    bytes_read: int

    @classmethod
    def of(
        cls,
        report: JobReport,
        stat: "Stat | None",
        rings: "RestoreResults | None",
        name: str = "",
    ) -> Self:
        """Put it together from the report and what the helper has told last."""
        return cls(
            **_any(report),
            name=name,
            store_gfn=rings.store_gfn if rings else 0,
            console_gfn=rings.console_gfn if rings else 0,
            bytes_read=stat.bytes_done if stat else 0,
        )


def _any(report: JobReport) -> dict[str, Any]:
    return {
        "domid": report.domid,
        "guest": report.guest,
        "timeline": report.timeline,
        "duration": report.duration,
        "report": report,
    }


def _written(report: JobReport, stat: "Stat | None") -> dict[str, Any]:
    return {
        **_any(report),
        "iterations": stat.iteration if stat else 0,
        "pages": stat.pages if stat else 0,
        "bytes_written": stat.bytes_done if stat else 0,
        "downtime_ns": round((report.statistics.downtime or 0.0) * 1e6),
    }
