"""The store through its own requests, without a socket."""

import pytest

from libxlpy.simxen.xenstored.connection import Connection
from libxlpy.simxen.xenstored.store import Store
from libxlpy_protocol.xenstore_wire import Packet, XsType


class Caller:
    """One connection whose packets are kept."""

    def __init__(self, store, domid=0):
        self.packets = []
        self.connection = Connection(store, domid, self.packets.append)

    def ask(self, kind, *strings, tx=0, raw=None):
        """Send a request; give the reply's payload, or the error's name as text."""
        payload = b"".join(s.encode() + b"\0" for s in strings) if raw is None else raw
        before = len(self.packets)
        self.connection.handle(Packet(kind, 7, tx, payload))
        reply = self.packets.pop(before)
        assert reply.req_id == 7
        assert reply.tx_id == tx
        if reply.type == XsType.ERROR:
            return reply.payload.rstrip(b"\0").decode()
        assert reply.type == kind
        return reply.payload

    def write(self, path, value="", tx=0):
        return self.ask(XsType.WRITE, tx=tx, raw=f"{path}\0{value}".encode())

    def read(self, path, tx=0):
        return self.ask(XsType.READ, path, tx=tx)

    def start(self):
        return int(self.ask(XsType.TRANSACTION_START, "").rstrip(b"\0"))

    def end(self, tx, commit="T"):
        return self.ask(XsType.TRANSACTION_END, commit, tx=tx)

    def events(self):
        """Take the watch events so far as (path, token)."""
        found = [tuple(p.payload.decode().split("\0")[:2]) for p in self.packets]
        assert all(p.type == XsType.WATCH_EVENT for p in self.packets)
        self.packets.clear()
        return found


@pytest.fixture
def store():
    store = Store()
    store.put("/local/domain/3/control/shutdown", "", ["n3"])
    store.put("/local/domain/3/name", "three", ["n0", "r3"])
    store.put("/secret", "x", ["n0"])
    store.introduce(3)
    return store


@pytest.fixture
def dom0(store):
    return Caller(store)


@pytest.fixture
def guest(store):
    return Caller(store, 3)


# ------------------------------------------------------------------- nodes


def test_written_value_is_read_back(dom0):
    assert dom0.write("/a/b/c", "value\0with nul") == b"OK\0"
    assert dom0.read("/a/b/c") == b"value\0with nul"
    assert dom0.read("/a/b") == b""
    assert dom0.ask(XsType.DIRECTORY, "/a") == b"b\0"


def test_children_are_listed_in_order_of_creation(dom0):
    for name in ("z", "a", "m"):
        dom0.write(f"/list/{name}")
    assert dom0.ask(XsType.DIRECTORY, "/list") == b"z\0a\0m\0"


def test_missing_node_is_enoent(dom0):
    for kind in (XsType.READ, XsType.DIRECTORY, XsType.GET_PERMS):
        assert dom0.ask(kind, "/none") == "ENOENT"


def test_mkdir_keeps_an_existing_value(dom0):
    dom0.write("/a", "1")
    assert dom0.ask(XsType.MKDIR, "/a") == b"OK\0"
    assert dom0.read("/a") == b"1"
    assert dom0.ask(XsType.MKDIR, "/d") == b"OK\0"
    assert dom0.read("/d") == b""


def test_removal_takes_all_below(dom0):
    dom0.write("/a/b/c", "1")
    assert dom0.ask(XsType.RM, "/a/b") == b"OK\0"
    assert dom0.read("/a/b/c") == "ENOENT"
    assert dom0.ask(XsType.DIRECTORY, "/a") == b""


def test_removing_what_is_not_there_succeeds_below_a_node_only(dom0):
    dom0.write("/a", "1")
    assert dom0.ask(XsType.RM, "/a/none") == b"OK\0"
    assert dom0.ask(XsType.RM, "/none/none") == "ENOENT"
    assert dom0.ask(XsType.RM, "/") == "EINVAL"


@pytest.mark.parametrize(
    "path",
    ["", "//", "/a/", "/a//b", "/a b", "/ä", "@other", "/" + "x" * 3072, "x" * 2049],
)
def test_bad_path_is_einval(dom0, path):
    assert dom0.ask(XsType.READ, raw=path.encode() + b"\0") == "EINVAL"


def test_longest_path_works(dom0):
    path = "/" + "x" * 3071
    assert dom0.write(path, "v") == b"OK\0"
    assert dom0.read(path) == b"v"


def test_payload_without_nul_is_einval(dom0):
    assert dom0.ask(XsType.READ, raw=b"/local") == "EINVAL"
    assert dom0.ask(XsType.WATCH, "/local") == "EINVAL"


@pytest.mark.parametrize("kind", [0, 15, 16, 19, 20, 23, 4000000000])
def test_unknown_request_is_enosys(dom0, kind):
    assert dom0.ask(kind, "") == "ENOSYS"


def test_long_directory_comes_in_parts(dom0):
    names = [f"child-number-{n:05}" for n in range(600)]
    for name in names:
        dom0.write(f"/many/{name}")
    assert dom0.ask(XsType.DIRECTORY, "/many") == "E2BIG"
    got, offset, generations = b"", 0, set()
    while True:
        part = dom0.ask(XsType.DIRECTORY_PART, "/many", str(offset))
        assert len(part) <= 4096
        generation, _, children = part.partition(b"\0")
        generations.add(generation)
        last = children.endswith(b"\0\0")
        got += children[:-1] if last else children
        if last:
            break
        offset += len(children)
    assert got.rstrip(b"\0").decode().split("\0") == names
    assert len(generations) == 1


def test_directory_part_behind_the_end_is_empty(dom0):
    dom0.write("/d/x")
    part = dom0.ask(XsType.DIRECTORY_PART, "/d", "2")
    assert part.partition(b"\0")[2] == b"\0"
    part = dom0.ask(XsType.DIRECTORY_PART, "/d", "100")
    assert part.partition(b"\0")[2] == b"\0"


# ------------------------------------------------------------- permissions


def test_guest_uses_paths_relative_to_its_own(guest):
    assert guest.read("name") == b"three"
    assert guest.read("/local/domain/3/name") == b"three"


def test_guest_may_only_what_permissions_say(guest):
    assert guest.write("name", "other") == "EACCES"
    assert guest.read("/secret") == "EACCES"
    assert guest.read("/secret/below") == "EACCES"
    assert guest.write("/secret/below") == "EACCES"
    assert guest.write("control/shutdown", "x") == b"OK\0"
    assert guest.ask(XsType.RM, "name") == "EACCES"


@pytest.mark.parametrize(
    ("letter", "reads", "writes"),
    [("n", False, False), ("r", True, False), ("w", False, True), ("b", True, True)],
)
def test_letters_mean_what_they_say(store, dom0, guest, letter, reads, writes):
    dom0.write("/node", "v")
    for entries in (["n0", f"{letter}3"], [f"{letter}0"], [f"{letter}0", "b9"]):
        assert dom0.ask(XsType.SET_PERMS, "/node", *entries) == b"OK\0"
        assert (guest.read("/node") != "EACCES") is reads
        assert (guest.write("/node", "v") != "EACCES") is writes


def test_entry_for_a_domain_beats_the_default(dom0, guest):
    dom0.write("/node", "v")
    dom0.ask(XsType.SET_PERMS, "/node", "b0", "n3")
    assert guest.read("/node") == "EACCES"


def test_new_node_inherits_and_belongs_to_its_guest(dom0, guest):
    dom0.ask(XsType.SET_PERMS, "/local/domain/3/control", "r0", "b3", "r4")
    guest.write("control/own", "1")
    assert dom0.ask(XsType.GET_PERMS, "/local/domain/3/control/own") == (
        b"r3\0b3\0r4\0"
    )
    dom0.write("/local/domain/3/control/dom0", "1")
    assert dom0.ask(XsType.GET_PERMS, "/local/domain/3/control/dom0") == (
        b"r0\0b3\0r4\0"
    )


def test_only_the_owner_changes_permissions(dom0, guest):
    dom0.write("/node")
    dom0.ask(XsType.SET_PERMS, "/node", "n0", "b3")
    assert guest.ask(XsType.SET_PERMS, "/node", "b3") == "EACCES"
    assert guest.ask(XsType.SET_PERMS, "control/shutdown", "n3", "r5") == b"OK\0"
    assert guest.ask(XsType.SET_PERMS, "control/shutdown", "n5") == "EPERM"


@pytest.mark.parametrize("entry", ["x3", "r", "r-1", "r3 ", "3", "r99999999"])
def test_bad_permission_is_einval(dom0, entry):
    assert dom0.ask(XsType.SET_PERMS, "/secret", entry) == "EINVAL"


def test_guest_has_a_quota(dom0, guest):
    assert guest.write("control/shutdown", "x" * 2049) == "ENOSPC"
    answers = {guest.write(f"control/shutdown/{n}") for n in range(1001)}
    assert answers == {b"OK\0", "ENOSPC"}
    assert guest.start() == 1
    for _ in range(9):
        guest.start()
    assert guest.ask(XsType.TRANSACTION_START, "") == "ENOSPC"
    for n in range(128):
        assert guest.ask(XsType.WATCH, "name", str(n)) == b"OK\0"
    assert guest.ask(XsType.WATCH, "name", "more") == "E2BIG"


# ----------------------------------------------------------------- watches


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
