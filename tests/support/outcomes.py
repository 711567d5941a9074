"""One error of each kind that a job can end with."""

import errno

from libxlpy import errors

OUTCOMES = [
    errors.Cancelled("by\nhand"),
    errors.TimedOut("hello", 1.5),
    errors.HelperCrashed(signal=9),
    errors.HelperCrashed(status=3, hint="no library"),
    errors.HelperCrashed(),
    errors.ProtocolViolation("bad frame", b"\0"),
    errors.CallbackFailed("suspend", ValueError()),
    errors.CallbackFailed("suspend", None, 0),
    errors.StreamError(errno.ENOSPC),
    errors.XenError(-1, errno.EINVAL, "Failed\nto map"),
    errors.GuestTimedOut("no answer"),
    errors.GuestFailed("crash"),
    errors.PeerFailed("did not say go", "the connection has ended"),
    errors.MigrationOpen("nobody knows"),
    errors.ParentLost("gone"),
]
