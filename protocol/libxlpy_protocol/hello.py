"""Which protocol versions talk to each other.

A version speaks its own and the one before. Both sides say what they speak in their
hello; they use the lower of the two highest versions if both speak that.

A helper's hello is also written out here, byte by byte: it says it before it has loaded
what all other messages need.
"""

from __future__ import annotations

from libxlpy_protocol.errors import RemoteProtocolError
from libxlpy_protocol.sizes import LARGE_BODY_MAX

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
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


__all__ = [
    "MIN_VERSION",
    "NUMBER",
    "PACKAGE",
    "VERSION",
    "agree",
    "hello_frame",
    "oldest_spoken",
]


PACKAGE: Final = "0.1.0"  # release of libxlpy, as in pyproject.toml


def oldest_spoken(version: int) -> int:
    """Return the oldest version that an implementation of ``version`` speaks."""
    return max(1, version - 1)


VERSION: Final = 1
MIN_VERSION: Final = oldest_spoken(VERSION)

NUMBER: Final = 32  # of the message Hello


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


# --------------------------------------------------------------------------------------
# A helper's hello, as the codec writes it
# --------------------------------------------------------------------------------------


def hello_frame(library: str, library_version: str, features: Sequence[str]) -> bytes:
    """Return the frame of ``Hello(VERSION, MIN_VERSION, PACKAGE, ...)``.

    Args:
        library: What the helper has opened.
        library_version: Its release.
        features: What the helper can do.
    """
    fields = [
        *map(_whole, (NUMBER, 0, VERSION, MIN_VERSION)),
        *map(_text, (PACKAGE, library, library_version)),
        _row([_text(feature) for feature in features]),
        _whole(LARGE_BODY_MAX),
    ]
    body = _row(fields)
    return len(body).to_bytes(4, "big") + body


def _whole(number: int) -> bytes:
    """Write a number, as msgpack does, in as few bytes as it takes."""
    if number < 1 << 7:
        return bytes([number])
    return b"\xce" + number.to_bytes(4, "big")


def _text(text: str) -> bytes:
    data = text.encode()
    if len(data) < 1 << 5:
        return bytes([0xA0 | len(data)]) + data
    if len(data) < 1 << 8:
        return b"\xd9" + len(data).to_bytes(1, "big") + data
    return b"\xda" + len(data).to_bytes(2, "big") + data


def _row(items: Sequence[bytes]) -> bytes:
    assert len(items) < 1 << 4
    return bytes([0x90 | len(items)]) + b"".join(items)
