"""Which epochs of a guest are closed, and which of them the backup holds; no I/O.

An epoch is what a guest does between two of its suspends. Its number counts from 1; it
is closed when the guest is suspended at its end, and acknowledged once the backup holds
all of it: memory, device model, and the end of it. Only then may others see what the
guest has sent or written in it.
"""

from libxlpy.errors import PeerFailed


class Epochs:
    """Those of one guest; at most ``most`` are closed and not committed."""

    def __init__(self, most: int = 1) -> None:
        """Begin before the first."""
        self.most = most
        self.closed = 0
        self.acknowledged = 0
        self.committed = 0

    @property
    def lag(self) -> int:
        """Epochs that are closed, and of which the world has not seen all."""
        return self.closed - self.committed

    @property
    def may_close(self) -> bool:
        """Tell whether another one may be closed."""
        return self.lag < self.most

    def close(self) -> int:
        """Close one; give its number."""
        assert self.may_close, "an epoch too many"
        self.closed += 1
        return self.closed

    def commit(self) -> None:
        """Take note that all of what is acknowledged may be seen."""
        self.committed = self.acknowledged

    def acknowledge(self, number: int) -> None:
        """Take an acknowledgement.

        Raises:
            PeerFailed: It is for an epoch that was not sent, or an old one, or one is
                left out: nothing that the backup says is to be believed.
        """
        if number > self.closed:
            why = f"{self.closed or 'none'} was the last one sent"
        elif number <= self.acknowledged:
            why = f"it had acknowledged {self.acknowledged} before"
        elif number != self.acknowledged + 1:
            why = f"it has yet to acknowledge {self.acknowledged + 1}"
        else:
            self.acknowledged = number
            return
        raise PeerFailed(f"acknowledges epoch {number}", why)
