"""A client of xenstored, for asyncio."""

from libxlpy.xenstore.client import Xenstore, connect
from libxlpy.xenstore.connection import Watch

__all__ = ["Watch", "Xenstore", "connect"]
