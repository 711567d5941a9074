"""Which protocol versions talk to each other.

A version speaks its own and the one before. Both sides say what they speak in their
hello; they use the lower of the two highest versions if both speak that.
"""

from __future__ import annotations

from libxlpy_protocol.errors import RemoteProtocolError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final, Protocol

    class Versions(Protocol):
        """What a peer says of itself: a hello, or the offer of a migration."""

        @property
        def version(self) -> int:
            """Highest protocol version that it speaks."""
            ...

        @property
        def min_version(self) -> int:
            """Lowest one."""
            ...

        @property
        def package(self) -> str:
            """Its release."""
            ...


__all__ = ["MIN_VERSION", "PACKAGE", "VERSION", "agree", "oldest_spoken"]


PACKAGE: Final = "0.1.0"  # release of libxlpy, as in pyproject.toml


def oldest_spoken(version: int) -> int:
    """Return the oldest version that an implementation of ``version`` speaks."""
    return max(1, version - 1)


VERSION: Final = 1
MIN_VERSION: Final = oldest_spoken(VERSION)


def agree(ours: tuple[int, int], theirs: Versions) -> int:
    """Return the version to use.

    Args:
        ours: Our lowest and highest version.
        theirs: What the peer has said of itself.

    Raises:
        RemoteProtocolError: Nothing in common, or the peer's range is none.
    """
    low, high = ours
    if not 1 <= theirs.min_version <= theirs.version:
        raise RemoteProtocolError(
            f"peer names protocol versions {theirs.min_version} to {theirs.version}"
        )
    version = min(high, theirs.version)
    if version < max(low, theirs.min_version):
        raise RemoteProtocolError(
            f"peer speaks protocol versions {theirs.min_version} to {theirs.version} "
            f"(package {theirs.package!r:.40}), we speak {low} to {high}"
        )
    return version
