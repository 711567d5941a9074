"""The protocol package does no I/O, so its tests have nothing to leave behind."""

import pytest


@pytest.fixture(autouse=True)
def nothing_left() -> None:
    """Stand in for the costly check of processes and descriptors after each test.

    ``protocol/test_purity.py`` shows that there is nothing to check.
    """
