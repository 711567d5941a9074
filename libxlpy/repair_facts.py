"""Facts that a repair tells: what was done, or what was not and why.

Short texts for people, one form for all; what is left to do is read from it.
"""

from libxlpy.results import FAILED


def failed(fact: str, why: object = "") -> str:
    """Give the fact that something could not be done.

    Args:
        fact: What it is called once it is done.
        why: What was in the way, if that is known.
    """
    return f"{fact}{FAILED}: {why}" if why else f"{fact}{FAILED}"


def is_failed(fact: str) -> bool:
    """Tell whether it could not be done."""
    return FAILED in fact


def done_of(fact: str) -> str:
    """Give what it is called once it is done."""
    return fact.partition(FAILED)[0]
