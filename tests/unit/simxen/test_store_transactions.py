"""Transactions of the store, and the lives of domains."""

import pytest

from libxlpy_protocol.xenstore_wire import XsType
from tests.unit.simxen.caller import Caller

# ------------------------------------------------------------ transactions


def test_transaction_is_seen_by_others_at_commit_only(store, dom0):
    other = Caller(store)
    other.ask(XsType.WATCH, "/a", "t")
    other.events()
    tx = dom0.start()
    dom0.write("/a", "1", tx)
    assert dom0.read("/a", tx) == b"1"
    assert other.read("/a") == "ENOENT"
    assert other.events() == []
    assert dom0.end(tx) == b"OK\0"
    assert other.read("/a") == b"1"
    assert other.events() == [("/a", "t")]


def test_aborted_transaction_changes_nothing(dom0):
    tx = dom0.start()
    dom0.write("/a", "1", tx)
    assert dom0.end(tx, "F") == b"OK\0"
    assert dom0.read("/a") == "ENOENT"


def test_transaction_sees_the_store_of_its_start(store, dom0):
    other = Caller(store)
    other.write("/a", "old")
    tx = dom0.start()
    other.write("/a", "new")
    assert dom0.read("/a", tx) == b"old"
    assert dom0.end(tx) == "EAGAIN"


@pytest.mark.parametrize(
    ("inside", "outside"),
    [
        (lambda c, tx: c.read("/n", tx), lambda c: c.write("/n", "2")),
        (lambda c, tx: c.write("/n", "1", tx), lambda c: c.write("/n", "2")),
        (lambda c, tx: c.read("/none", tx), lambda c: c.write("/none", "2")),
        (lambda c, tx: c.read("/n", tx), lambda c: c.ask(XsType.RM, "/n")),
        (lambda c, tx: c.ask(XsType.RM, "/n", tx=tx), lambda c: c.write("/n", "2")),
        (
            lambda c, tx: c.ask(XsType.DIRECTORY, "/n", tx=tx),
            lambda c: c.write("/n/new", "2"),
        ),
        (
            lambda c, tx: c.read("/n", tx),
            lambda c: c.ask(XsType.SET_PERMS, "/n", "r0"),
        ),
    ],
    ids=["read", "write", "absence", "removed", "removing", "children", "permissions"],
)
def test_conflict_is_eagain(store, dom0, inside, outside):
    other = Caller(store)
    other.write("/n", "0")
    tx = dom0.start()
    inside(dom0, tx)
    outside(other)
    assert dom0.end(tx) == "EAGAIN"


def test_change_elsewhere_is_no_conflict(store, dom0):
    other = Caller(store)
    other.write("/n", "0")
    other.write("/m/x", "0")
    tx = dom0.start()
    dom0.write("/n", "1", tx)
    other.write("/m/x", "1")
    assert dom0.end(tx) == b"OK\0"
    assert dom0.read("/m/x") == b"1"


def test_transactions_belong_to_their_client(store, dom0):
    other = Caller(store)
    tx = dom0.start()
    assert other.write("/a", "1", tx) == "ENOENT"
    assert other.end(tx) == "ENOENT"
    assert dom0.ask(XsType.TRANSACTION_START, "", tx=tx) == "EBUSY"
    assert dom0.ask(XsType.TRANSACTION_END, "X", tx=tx) == "EINVAL"
    assert dom0.end(tx) == b"OK\0"


# ----------------------------------------------------------------- domains


def test_life_of_a_domain_is_told(store, dom0):
    dom0.ask(XsType.WATCH, "@introduceDomain", "in")
    dom0.ask(XsType.WATCH, "@releaseDomain", "out")
    assert dom0.events() == [("@introduceDomain", "in"), ("@releaseDomain", "out")]
    assert dom0.ask(XsType.IS_DOMAIN_INTRODUCED, "4") == b"F\0"
    assert dom0.ask(XsType.INTRODUCE, "4", "0", "1") == b"OK\0"
    assert dom0.ask(XsType.IS_DOMAIN_INTRODUCED, "4") == b"T\0"
    assert dom0.events() == [("@introduceDomain", "in")]
    assert dom0.ask(XsType.RELEASE, "4") == b"OK\0"
    assert dom0.ask(XsType.RELEASE, "4") == "ENOENT"
    assert dom0.events() == [("@releaseDomain", "out")]
    assert dom0.ask(XsType.GET_DOMAIN_PATH, "4") == b"/local/domain/4\0"


def test_shutdown_is_told_once_until_resumed(store, dom0):
    dom0.ask(XsType.WATCH, "@releaseDomain", "t")
    dom0.events()
    store.domain_shut_down(3)
    store.domain_shut_down(3)
    assert dom0.events() == [("@releaseDomain", "t")]
    assert dom0.ask(XsType.RESUME, "3") == b"OK\0"
    store.domain_shut_down(3)
    assert dom0.events() == [("@releaseDomain", "t")]
    assert dom0.ask(XsType.RESUME, "9") == "ENOENT"


def test_domain_requests_are_for_dom0(guest):
    assert guest.ask(XsType.INTRODUCE, "3", "0", "0") == "EACCES"
    assert guest.ask(XsType.RELEASE, "3") == "EACCES"
    assert guest.ask(XsType.RESUME, "3") == "EACCES"
