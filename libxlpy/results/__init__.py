"""What a job ended with: guest and image as found, repairs done, figures, the story.

``report`` is what results and errors have in common, ``of_jobs`` has a result for each
kind of job, ``statistics`` its figures, ``figures`` those that others
see while it runs.
"""

from libxlpy.results.figures import JobFigures
from libxlpy.results.of_jobs import MigrateResult, RestoreResult, SaveResult
from libxlpy.results.report import (
    FAILED,
    DomainType,
    GuestFacts,
    GuestState,
    ImageState,
    JobReport,
    Kind,
    Rusage,
    Settled,
)

__all__ = [
    "FAILED",
    "DomainType",
    "GuestFacts",
    "GuestState",
    "ImageState",
    "JobFigures",
    "JobReport",
    "Kind",
    "MigrateResult",
    "RestoreResult",
    "Rusage",
    "SaveResult",
    "Settled",
]
