"""What a job failed of, read from what its helper says."""

import errno

import pytest

from libxlpy import errors
from libxlpy.jobs.failures import failure_of
from libxlpy_protocol.messages import Complete


@pytest.mark.parametrize(
    ("complete", "kind"),
    [
        (Complete(-1, errno.ENOSPC, False), errors.StreamError),
        (Complete(-1, errno.EPIPE, False), errors.StreamError),
        (Complete(-1, errno.EINVAL, False), errors.XenError),
        (Complete(0, 0, True), errors.Cancelled),
        (Complete(-1, errno.ESTALE, False), errors.GuestFailed),
        (Complete(-1, errno.ESTALE, True), errors.GuestFailed),
    ],
)
def test_verdict_of_the_helper_is_read_by_its_errno(
    complete: Complete, kind: type[errors.JobError]
):
    assert type(failure_of(complete, "")) is kind
