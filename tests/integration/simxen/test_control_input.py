"""What the control socket says to bad input: one line, thing and remedy."""

import json
import socket

import pytest

from libxlpy.simxen.errors import SimxenError

CASES = [
    ({"do": "create"}, "name is missing"),
    ({"do": "create", "name": 5}, "name must be"),
    ({"do": "create", "name": "a/b"}, "name must be letters"),
    ({"do": "create", "name": "12"}, "name must be letters"),
    ({"do": "create", "name": "x", "type": "xen"}, "type must be pv or hvm or pvh"),
    ({"do": "create", "name": "x", "memory_mib": 3}, "memory_mib must be .* 4.."),
    ({"do": "create", "name": "x", "memory_mib": 4.5}, "memory_mib must be"),
    ({"do": "create", "name": "x", "memory_mib": True}, "memory_mib must be"),
    ({"do": "create", "name": "x", "memory_mib": 1 << 20}, "not enough memory .* free"),
    ({"do": "create", "name": "x", "rate": -1}, "rate must be"),
    ({"do": "create", "name": "x", "pattern": "hot"}, "hot_pages must be 1..16384"),
    ({"do": "create", "name": "x", "tracker": "magic"}, "tracker must be auto or uffd"),
    ({"do": "create", "name": "x", "pv_drivers": False}, "pv guest always has PV"),
    ({"do": "create", "name": "x", "fill": "yes"}, "fill must be true or false"),
    ({"do": "create", "name": "x", "uuid": "1"}, "uuid must be a UUID such as"),
    (
        {"do": "create", "name": "x", "keep_uuid": True},
        "keep_uuid is for domains",
    ),
    ({"do": "create", "name": "x", "config": []}, "config must be a JSON object"),
    ({"do": "create", "name": "x", "colour": 1}, "unknown field 'colour'"),
    ({"do": "info"}, "domid is missing"),
    ({"do": "info", "domid": "1"}, "domid must be"),
    ({"do": "info", "domid": 99}, "no domain 99 here: `xlpy sim list`"),
    ({"do": "verify", "domid": 99}, "no domain 99"),
    ({"do": "destroy", "domid": 99}, "no domain 99"),
    ({"do": "launch", "domid": 99}, "no domain 99"),
    ({"do": "list", "all": True}, "unknown field 'all' in list"),
    ({"do": "misbehave", "domid": 1, "fault": "sing"}, "unknown fault 'sing': use one"),
    ({"do": "misbehave", "domid": 1, "fault": 3}, "fault must be text"),
    ({"do": "create", "name": "taken"}, "name 'taken' is taken by domain 1"),
    ({"do": "dance"}, "unknown request 'dance': use one of ping"),
    ({"do": None}, "unknown request None"),
]


def test_bad_request_is_refused_in_one_line(host):
    host.create("taken")
    for fields, text in CASES:
        with pytest.raises(SimxenError, match=text) as caught:
            host.ask(**fields)
        assert "\n" not in str(caught.value)
    assert [d["name"] for d in host.ask("list")["domains"]] == ["taken"]


@pytest.mark.parametrize("line", [b"{", b"[]", b"\xff\xfe", b"null", b"3"])
def test_what_is_no_request_is_refused_and_the_connection_goes_on(host, line):
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(20)
        sock.connect(str(host.directory / "control.sock"))
        with sock.makefile("rwb") as file:
            for sent, ok in ((line, False), (b'{"do": "ping"}', True)):
                file.write(sent + b"\n")
                file.flush()
                assert json.loads(file.readline())["ok"] is ok
