"""Which versions talk to each other."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libxlpy_protocol.errors import LocalProtocolError, RemoteProtocolError
from libxlpy_protocol.hello import (
    MIN_VERSION,
    PACKAGE,
    VERSION,
    agree,
    hello_frame,
    oldest_spoken,
)
from libxlpy_protocol.messages import Hello
from libxlpy_protocol.session import HelperSession, ParentSession
from libxlpy_protocol.states import State
from tests.support.conversation import hear


def hello(version: int, min_version: int) -> Hello:
    return Hello(version, min_version, "other 9.9")


def test_a_version_speaks_itself_and_the_one_before() -> None:
    assert [oldest_spoken(version) for version in (1, 2, 3, 10)] == [1, 1, 2, 9]
    assert oldest_spoken(VERSION) == MIN_VERSION


@pytest.mark.parametrize("ours", range(1, 7))
@pytest.mark.parametrize("theirs", range(1, 7))
def test_neighbours_agree_on_the_lower_and_others_are_refused(
    ours: int, theirs: int
) -> None:
    peer = hello(theirs, oldest_spoken(theirs))
    if abs(ours - theirs) <= 1:
        assert agree((oldest_spoken(ours), ours), peer) == min(ours, theirs)
        return
    with pytest.raises(RemoteProtocolError) as info:
        agree((oldest_spoken(ours), ours), peer)
    assert f"{peer.min_version} to {theirs} (package 'other 9.9')" in str(info.value)
    assert f"we speak {oldest_spoken(ours)} to {ours}" in str(info.value)


@pytest.mark.parametrize(("version", "least"), [(0, 0), (1, 0), (1, 2), (5, 6)])
def test_a_range_that_is_none_is_refused(version: int, least: int) -> None:
    with pytest.raises(RemoteProtocolError, match=f"versions {least} to {version}"):
        agree((1, 1), hello(version, least))


def test_sessions_of_neighbouring_versions_agree() -> None:
    parent = ParentSession(version=2, min_version=1)
    helper = HelperSession(version=3, min_version=2)
    assert parent.version is None
    hear(parent, helper.send(hello(3, 2)))
    hear(helper, parent.send(hello(2, 1)))
    assert parent.version == helper.version == 2
    assert parent.peer == hello(3, 2)
    assert helper.state is parent.state is State.GREETED


def test_session_refuses_a_distant_version() -> None:
    parent = ParentSession()
    helper = HelperSession(version=3, min_version=2)
    data = helper.send(hello(3, 2))
    with pytest.raises(RemoteProtocolError, match=r"2 to 3 .* we speak 1 to 1") as info:
        hear(parent, data)
    assert info.value.frame == data
    assert parent.state is State.ERROR
    assert parent.peer is None


def test_session_says_its_own_versions_only() -> None:
    with pytest.raises(LocalProtocolError, match="versions other than"):
        ParentSession().send(hello(2, 1))


LENGTHS = st.sampled_from([0, 1, 31, 32, 255, 256, 4095])
NAMES = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=60)


@given(LENGTHS.map("x".__mul__) | NAMES, NAMES, st.lists(NAMES, max_size=15))
def test_a_helpers_hello_is_what_the_codec_writes(
    library: str, version: str, features: list[str]
) -> None:
    message = Hello(VERSION, MIN_VERSION, PACKAGE, library, version, tuple(features))
    frame = HelperSession().send(message)
    assert hello_frame(library, version, features) == frame
