"""How hard to search: quick and repeatable by default, long and random on request.

``pytest tests/fuzz --hypothesis-profile=search`` looks for what is not known yet.
"""

import pytest
from hypothesis import settings

settings.register_profile(
    "quick", max_examples=60, derandomize=True, database=None, deadline=None
)
settings.register_profile("search", max_examples=5000, database=None, deadline=None)


def pytest_configure(config: pytest.Config) -> None:
    """Load the quick profile unless the command line names one."""
    if not config.getoption("--hypothesis-profile"):
        settings.load_profile("quick")


@pytest.fixture(autouse=True)
def nothing_left() -> None:
    """Stand in for the check of processes and descriptors after each test.

    What is fuzzed here does no I/O; tests/unit/protocol/test_purity.py shows it.
    """
