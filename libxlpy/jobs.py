"""The jobs of one context: started, found to be in the way, cancelled at the end."""

from typing import Any

from libxlpy.claims import Claim, Claims
from libxlpy.errors import UsageError
from libxlpy.job import Job
from libxlpy.plan import Plan, Result
from libxlpy.stream_fd import Identity, StreamFd
from libxlpy.surroundings import Surroundings


class Jobs:
    """Jobs under way, at most one for each domain."""

    def __init__(self) -> None:
        self.claims = Claims()
        self._jobs: dict[int, Job[Any]] = {}
        self._streams: set[Identity] = set()
        self._closed = False

    def begin(
        self, plan: Plan[Result], stream: StreamFd, around: Surroundings, claim: Claim
    ) -> Job[Result]:
        """Start a job; it keeps the claim on its domain until it has ended.

        Raises:
            UsageError: Another job uses the stream, or the context was left.
        """
        try:
            identity = self._check(stream)
        except UsageError:
            stream.close()
            raise
        claim.keep()
        self._streams |= identity

        def ended() -> None:
            del self._jobs[plan.domid]
            self._streams -= identity
            claim.release()

        job = Job(plan, stream, around, ended)
        self._jobs[plan.domid] = job
        return job

    def _check(self, stream: StreamFd) -> set[Identity]:
        """Give what tells one stream from another; nothing for /dev/null and such."""
        if self._closed:
            raise UsageError("context was left: enter a new one")
        identity = stream.identity()
        if identity & self._streams:
            raise UsageError("another job uses this stream: one file for each")
        return identity

    async def close(self) -> None:
        """Cancel what is under way and wait until it has ended; take no more."""
        self._closed = True
        jobs = list(self._jobs.values())
        for job in jobs:
            job.request_cancel("its context was left")
        for job in jobs:
            await job.close()
