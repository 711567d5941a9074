"""The jobs of one context: started, found to be in the way, cancelled at the end."""

from typing import Any

from libxlpy.claims import Claim, Claims
from libxlpy.job import Job
from libxlpy.plan import Plan, Result
from libxlpy.stream_fd import StreamFd
from libxlpy.surroundings import Surroundings


class Jobs:
    """Jobs under way, at most one for each domain."""

    def __init__(self) -> None:
        self.claims = Claims()
        self._jobs: dict[int, Job[Any]] = {}

    def begin(
        self, plan: Plan[Result], stream: StreamFd, around: Surroundings, claim: Claim
    ) -> Job[Result]:
        """Start a job; it keeps the claim on its domain until it has ended."""
        claim.keep()

        def ended() -> None:
            del self._jobs[plan.domid]
            claim.release()

        job = Job(plan, stream, around, ended)
        self._jobs[plan.domid] = job
        return job

    async def close(self) -> None:
        """Cancel what is under way and wait until it has ended."""
        jobs = list(self._jobs.values())
        for job in jobs:
            job.request_cancel("its context was left")
        for job in jobs:
            await job.ended()
