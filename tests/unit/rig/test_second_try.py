"""Tests in the emulated machine: one more try, told, and for a few only."""

import itertools
from collections.abc import Iterator

import pytest

from tests.xen import second_try
from tests.xen.support import SilentGuestError

pytest_plugins = ["pytester"]

FAILS_AT_FIRST = """
    import pytest

    tries = {}

    @pytest.mark.parametrize("number", range(NUMBER))
    def test_it(number):
        tries[number] = tries.get(number, 0) + 1
        assert tries[number] > FAILURES, "TEXT"
"""


class Plugin:
    """Has each test run as tests/xen has it run."""

    def pytest_runtest_protocol(
        self, item: pytest.Item, nextitem: pytest.Item | None
    ) -> bool:
        second_try.run_twice_if_it_fails(item, nextitem)
        return True


@pytest.fixture(autouse=True)
def faults(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """What the hypervisor says, one look after the other; at first nothing."""
    says = [""]
    log = itertools.chain(says, itertools.repeat(""))
    monkeypatch.setattr(second_try, "hypervisor_log", lambda: next(log))
    monkeypatch.setattr(second_try, "unexplained", iter([second_try.UNSTABLE] * 3))
    return says


def run(
    pytester: pytest.Pytester, *, number: int = 1, failures: int = 1, text: str = "text"
) -> pytest.RunResult:
    source = FAILS_AT_FIRST.replace("NUMBER", str(number))
    pytester.makepyfile(source.replace("FAILURES", str(failures)).replace("TEXT", text))
    return pytester.runpytest_inprocess("-s", "-p", "no:asyncio", plugins=[Plugin()])


def test_what_failed_once_is_told_with_its_failure(pytester: pytest.Pytester):
    result = run(pytester, text="of the first time")
    result.assert_outcomes(passed=1)
    text = result.stdout.str()
    assert "test_it[0]: UNSTABLE" in text
    assert "AssertionError: of the first time" in text


def test_what_always_fails_fails(pytester: pytest.Pytester):
    run(pytester, failures=2).assert_outcomes(failed=1)


def test_only_a_few_have_a_second_try(pytester: pytest.Pytester):
    run(pytester, number=5).assert_outcomes(passed=3, failed=2)


@pytest.mark.parametrize("text", [second_try.TOO_SLOW, SilentGuestError.__name__])
def test_what_the_emulation_does_has_one_each_time(
    pytester: pytest.Pytester, text: str
):
    run(pytester, number=5, text=text).assert_outcomes(passed=5)


def test_triple_fault_is_one_that_came_in_the_test(
    pytester: pytest.Pytester, faults: list[str]
):
    faults.append(second_try.TRIPLE_FAULT)
    result = run(pytester)
    result.assert_outcomes(passed=1)
    assert f"{second_try.TRIPLE_FAULT}: once more" in result.stdout.str()
