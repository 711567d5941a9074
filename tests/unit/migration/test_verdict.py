"""Facts of both hosts decide which copy is the domain, or nobody does."""

import itertools

import pytest

from libxlpy import DomainCopy, DomainInfo, MigrationVerdict, UsageError

STATES = {
    "running": {"running": True},
    "blocked": {"blocked": True},
    "suspended": {"shutdown": True, "shutdown_reason": "suspend"},
    "waiting": {"paused": True},
    "paused": {"paused": True},
    "off": {"shutdown": True, "shutdown_reason": "poweroff"},
}
NAMES = {"suspended": "web--migratedaway", "waiting": "web--incoming"}


def copy(state: str, host: str = "a", uuid: str = "one") -> DomainCopy:
    flags = dict.fromkeys(("running", "paused", "blocked", "shutdown"), False)
    return DomainCopy(
        host,
        DomainInfo(
            domid=1,
            name=NAMES.get(state, "web"),
            uuid=uuid,
            type="pv",
            memory_kib=8192,
            vcpus=1,
            cpu_time_ns=0,
            dying=False,
            crashed=False,
            **{"shutdown_reason": "", **flags, **STATES[state]},  # type: ignore[arg-type]
        ),
    )


@pytest.mark.parametrize(
    ("states", "kept"),
    [
        (("running",), 0),
        (("suspended", "running"), 1),
        (("running", "waiting"), 0),
        (("suspended", "blocked"), 1),
        (("suspended", "waiting"), 0),
        (("waiting", "suspended"), 1),
        (("suspended",), 0),
        (("waiting",), 0),
        (("waiting", "running", "waiting"), 1),
    ],
)
def test_what_ran_last_is_the_domain(states: tuple[str, ...], kept: int):
    copies = [copy(state, host) for state, host in zip(states, "abc", strict=False)]
    verdict = MigrationVerdict.of(copies)
    assert verdict.keep is copies[kept]
    assert set(verdict.drop) == {each for each in copies if each is not verdict.keep}


@pytest.mark.parametrize(
    ("states", "words"),
    [
        ((), "no copy"),
        (("running", "blocked"), "two places"),
        (("suspended", "suspended"), "newest"),
        (("waiting", "waiting"), "newest"),
        (("suspended", "paused"), "other reasons"),
        (("running", "off"), "other reasons"),
        (("paused",), "other reasons"),
    ],
)
def test_what_facts_don_t_tell_is_not_guessed(states: tuple[str, ...], words: str):
    copies = [copy(state, host) for state, host in zip(states, "abc", strict=False)]
    with pytest.raises(UsageError, match=words) as caught:
        MigrationVerdict.of(copies)
    for each in copies:
        assert str(each) in str(caught.value)


def test_different_domains_are_not_confused():
    with pytest.raises(UsageError, match="different domains"):
        MigrationVerdict.of([copy("suspended"), copy("running", uuid="two")])


@pytest.mark.parametrize("states", list(itertools.product(STATES, repeat=2)))
def test_never_is_one_dropped_that_runs_or_might_be_newer(states: tuple[str, str]):
    copies = [copy(state, host) for state, host in zip(states, "ab", strict=True)]
    try:
        verdict = MigrationVerdict.of(copies)
    except UsageError:
        return
    assert not any(each.runs for each in verdict.drop)
    assert not any(each.is_suspended for each in verdict.drop) or verdict.keep.runs


def test_own_name_is_without_what_was_appended():
    for name in ("web", "web--incoming", "web--migratedaway"):
        assert DomainCopy.own_name_of(name) == "web"
