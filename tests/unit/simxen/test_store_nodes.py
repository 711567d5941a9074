"""Nodes of the store and who may do what with them."""

import pytest

from libxlpy_protocol.xenstore_wire import XsType

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
