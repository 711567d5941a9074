"""When a live save or migration suspends its guest: policies, asked after each pass.

A policy is a small frozen value, or a coroutine of the caller's that takes the same
:class:`PrecopyView` and gives the same answer.
"""

from libxlpy.policies.rules import (
    AnyPolicy,
    Deadline,
    DowntimeBudget,
    FirstOf,
    LocalMinimum,
    OnTimeout,
    Policy,
    Xen,
    checked_policy,
    fits,
)
from libxlpy.policies.view import Passes, PrecopyView

__all__ = [
    "AnyPolicy",
    "Deadline",
    "DowntimeBudget",
    "FirstOf",
    "LocalMinimum",
    "OnTimeout",
    "Passes",
    "Policy",
    "PrecopyView",
    "Xen",
    "checked_policy",
    "fits",
]
