"""`xlpy jobs`, `abort`, `report`: the jobs of all processes."""

import time

from libxlpy import AbortAnswer, JobStatus, StopAnswer
from libxlpy.cli.terminal.interrupt import ask
from libxlpy.cli.terminal.outcome import GOOD, CommandFailed
from libxlpy.cli.terminal.output import one_line, printable
from libxlpy.cli.terminal.settings import Settings

HEADER = f"{'Job':<20} {'ID':>5} {'State':<8} {'PID':>8} {'Since':<19} Phase"


def list_jobs(settings: Settings, *, json: bool) -> int:
    """Print all jobs of this machine."""
    jobs = ask(settings, lambda ctx: ctx.list_jobs())
    if json:
        settings.out.json(jobs)
        return GOOD
    settings.out.fact(HEADER)
    for job in jobs:
        settings.out.fact(_row(job))
    return GOOD


def _row(job: JobStatus) -> str:
    since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(job.since))
    return (
        f"{one_line(job.job):<20} {job.domid:5d} {job.state:<8} {job.pid:8d} "
        f"{since:<19} {one_line(job.phase)}"
    )


def abort_job(settings: Settings, job: str) -> int:
    """Abort a job; fails if it has not stopped in time.

    Raises:
        CommandFailed: It runs still.
    """
    answer, guest = ask(settings, lambda ctx: ctx.abort_job(job), f"{job} to stop")
    settings.changed = True
    text = f"{one_line(job)}: {answer.value}; guest is {guest.value}"
    if answer is AbortAnswer.STILL_RUNNING:
        raise CommandFailed(text)
    settings.out.note(text)
    return GOOD


#: What became of a request to stop and copy -> what that means.
ANSWERS = {
    StopAnswer.STOPPING: "its guest is suspended after the pass under way",
    StopAnswer.TOO_LATE: "too late: its guest was suspended before",
    StopAnswer.NO_ANSWER: "its process does not answer: `xlpy abort` stops it",
}


def stop_and_copy_job(settings: Settings, job: str, *, json: bool) -> int:
    """Have the guest of a live job suspended; fails if nobody takes the order.

    Raises:
        CommandFailed: Its process does not answer.
    """
    waited = f"{one_line(job)} to stop and copy"
    answer = ask(settings, lambda ctx: ctx.stop_and_copy_job(job), waited)
    if answer is StopAnswer.NO_ANSWER:
        raise CommandFailed(f"{one_line(job)}: {ANSWERS[answer]}")
    if json:
        settings.out.json({"job": job, "answer": answer.value})
    settings.out.note(f"{one_line(job)}: {ANSWERS[answer]}")
    return GOOD


def print_job_report(settings: Settings, job: str) -> int:
    """Print the report of a job that failed; its lines may hold what a guest wrote."""
    report = ask(settings, lambda ctx: ctx.job_report(job))
    for line in report.splitlines():
        settings.out.fact(printable(line))
    return GOOD
