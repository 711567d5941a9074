"""Watches of the store: who is told what."""

from libxlpy_protocol.xenstore_wire import XsType
from tests.unit.simxen.caller import Caller


def test_watch_fires_once_up_front(dom0):
    dom0.ask(XsType.WATCH, "/none", "token")
    assert dom0.events() == [("/none", "token")]


def test_watch_tells_of_its_node_and_all_below(dom0):
    dom0.ask(XsType.WATCH, "/a/b", "t")
    dom0.events()
    for path in ("/a/b/c/d", "/a/b", "/a", "/a/bc"):
        dom0.write(path, "1")
    assert dom0.events() == [("/a/b/c/d", "t"), ("/a/b", "t")]


def test_watch_of_the_root_tells_all(dom0):
    dom0.ask(XsType.WATCH, "/", "t")
    dom0.events()
    dom0.write("/x", "1")
    assert dom0.events() == [("/x", "t")]


def test_removal_is_told_above_and_to_those_who_watch_below(store, dom0):
    dom0.write("/a/b/c", "1")
    other = Caller(store)
    dom0.ask(XsType.WATCH, "/a", "above")
    other.ask(XsType.WATCH, "/a/b/c", "below")
    dom0.events(), other.events()
    dom0.ask(XsType.RM, "/a/b")
    assert dom0.events() == [("/a/b", "above")]
    assert other.events() == [("/a/b/c", "below")]


def test_relative_watch_gives_relative_names(store, dom0, guest):
    guest.ask(XsType.WATCH, "control/shutdown", "t")
    assert guest.events() == [("control/shutdown", "t")]
    dom0.write("/local/domain/3/control/shutdown", "suspend")
    assert guest.events() == [("control/shutdown", "t")]


def test_guest_hears_nothing_of_what_it_may_not_read(dom0, guest):
    guest.ask(XsType.WATCH, "/secret", "t")
    guest.ask(XsType.WATCH, "@releaseDomain", "t")
    guest.events()
    dom0.write("/secret", "y")
    dom0.ask(XsType.RELEASE, "3")
    assert guest.events() == []


def test_same_watch_twice_is_eexist(dom0):
    dom0.ask(XsType.WATCH, "/a", "t")
    assert dom0.ask(XsType.WATCH, "/a", "t") == "EEXIST"
    assert dom0.ask(XsType.WATCH, "/a", "u") == b"OK\0"


def test_unwatch_ends_events(dom0):
    dom0.ask(XsType.WATCH, "/a", "t")
    dom0.events()
    assert dom0.ask(XsType.UNWATCH, "/a", "t") == b"OK\0"
    assert dom0.ask(XsType.UNWATCH, "/a", "t") == "ENOENT"
    dom0.write("/a", "1")
    assert dom0.events() == []


def test_reset_watches_forgets_watches_and_transactions(dom0):
    tx = dom0.start()
    dom0.ask(XsType.WATCH, "/a", "t")
    dom0.events()
    assert dom0.ask(XsType.RESET_WATCHES, "") == b"OK\0"
    dom0.write("/a", "1")
    assert dom0.events() == []
    assert dom0.end(tx) == "ENOENT"


def test_closed_connection_hears_nothing(store, dom0):
    other = Caller(store)
    other.ask(XsType.WATCH, "/a", "t")
    other.events()
    other.connection.close()
    dom0.write("/a", "1")
    assert other.packets == []
