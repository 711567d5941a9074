"""What is written of a job comes back as it was, or not at all."""

import json

import pytest

from libxlpy.journal import Entry, Identity, Stream
from libxlpy.results.report import GuestFacts
from tests.unit.journal.entries import entry


def test_round_trip():
    written = entry(
        helpers=(Identity.own(), Identity(1, 2, "x")), guest=GuestFacts(acked=True)
    )
    assert Entry.decode(written.encode()) == written


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"domid": "7"}, "domid is '7'"),
        ({"domid": True}, "domid is True"),
        ({"kind": "colo"}, "kind is 'colo'"),
        ({"type": "vm"}, "type is 'vm'"),
        ({"helpers": {}}, "helpers is {}"),
        ({"helpers": [1]}, "helpers has not the fields"),
        ({"parent": {"pid": 1}}, "parent has not the fields"),
        ({"asked": 1}, "asked is 1"),
        ({"more": 1}, "entry has not the fields"),
        ({"version": 1}, "version 1, not 3"),
        ({"since": 1e300}, "since is 1e.300"),
        ({"since": -1.0}, "since is -1.0"),
    ],
)
def test_wrong_field_is_named(change, said):
    value = {**json.loads(entry().encode()), **change}
    with pytest.raises(ValueError, match=said):
        Entry.decode(json.dumps(value).encode())


@pytest.mark.parametrize("data", [b"", b"[]", b"1", b"\xff", b'{"a"', b"null"])
def test_no_entry(data):
    with pytest.raises(ValueError):
        Entry.decode(data)


def test_stream_of_a_file_knows_where_it_begins(tmp_path):
    with (tmp_path / "file").open("wb") as file:
        file.write(b"head")
        file.flush()
        stream = Stream.of(file.fileno())
    assert stream.path == str(tmp_path / "file")
    assert (stream.regular, stream.offset) == (True, 4)


def test_a_pid_that_no_process_can_have_is_of_nobody():
    own = Identity.own()
    for pid in (0, -1, 1 << 40):
        assert Identity(pid, own.start_time, own.boot_id).open() is None


def test_a_disk_that_is_full_has_room_for_what_becomes_known():
    first = entry()
    known = entry(
        phase="device model",
        helpers=(Identity.own(),) * 5,
        guest=GuestFacts(asked=True, acked=True, suspended=True),
        complete=True,
        handed_over=True,
    )
    assert len(first.encode()) == len(known.encode())
    assert Entry.decode(known.encode()) == known
