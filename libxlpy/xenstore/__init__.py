"""Asyncio client of a xenstore."""

from libxlpy.xenstore.client import Watch, Xenstore, connect

__all__ = ["Watch", "Xenstore", "connect"]
