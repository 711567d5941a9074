"""Which domains of a context are in use: one job or operation at a time each."""

from typing import Self

from libxlpy.errors import DomainBusy


class Claims:
    """The domains in use, with what is done to them."""

    def __init__(self) -> None:
        self._held: dict[int, str] = {}

    def claim(self, domid: int, what: str) -> "Claim":
        """Give a claim, to be entered with ``with``."""
        return Claim(self._held, domid, what)


class Claim:
    """One domain in use; given up at the end of a ``with`` unless kept."""

    def __init__(self, held: dict[int, str], domid: int, what: str) -> None:
        self._held = held
        self._domid = domid
        self._what = what
        self._kept = False

    def __enter__(self) -> Self:
        """Take it.

        Raises:
            DomainBusy: Somebody else has it.
        """
        if self._domid in self._held:
            raise DomainBusy(self._domid, self._held[self._domid])
        self._held[self._domid] = self._what
        return self

    def __exit__(self, *_: object) -> None:
        """Give it up, unless it is kept."""
        if not self._kept:
            self.release()

    def keep(self) -> None:
        """Hold it until :meth:`release`."""
        self._kept = True

    def release(self) -> None:
        """Give the domain free."""
        self._held.pop(self._domid, None)
