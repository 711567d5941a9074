"""The words of our own migration handshake: exactly typed, or refused."""

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from libxlpy_protocol.errors import LocalProtocolError, RemoteProtocolError
from libxlpy_protocol.fields import DATA_MAX, NAME_MAX, TEXT_MAX
from libxlpy_protocol.framing import PREFIX
from libxlpy_protocol.messages import Hello, Message
from libxlpy_protocol.migration.own import (
    LARGEST,
    NUMBERS,
    READY,
    VERSION,
    Accept,
    Beat,
    GiveUp,
    Go,
    GoPaused,
    HandOver,
    Held,
    Offer,
    Permission,
    Received,
    Refusal,
    Refuse,
    Report,
    decode,
    encode,
)
from libxlpy_protocol.migration.xl import READY as XL_READY

IDS = (b"j" * 16, b"h" * 16, b"u" * 16)
OFFER = Offer(1, 1, "0.1.0", *IDS, "pv", 16384, "4.17", "Acme", b"{}")
#: As they are on the wire: for ever.
FRAMES = {
    OFFER: b"\x9d\x01\x01\x01\xa50.1.0"
    + b"".join(b"\xc4\x10" + each for each in IDS)
    + b"\xa2pv\xcd\x40\x00\xa44.17\xa4Acme\xc4\x02{}\xc2",
    Accept(1, "0.1.0", "there"): b"\x94\x02\x01\xa50.1.0\xa5there",
    Refuse(Refusal.DISK, "no"): b"\x93\x03\x06\xa2no",
    Refuse(Refusal.MEMORY, "no"): b"\x93\x03\x09\xa2no",
    Beat(): b"\x91\x04",
    Received(): b"\x91\x05",
    Go(): b"\x91\x06",
    Report(runs=False, text="no"): b"\x93\x07\xc2\xa2no",
    Permission(): b"\x91\x08",
    GiveUp("no"): b"\x92\x09\xa2no",
    GoPaused(): b"\x91\x0a",
    Held(300): b"\x92\x0b\xcd\x01\x2c",
    HandOver(): b"\x91\x0c",
}


@pytest.mark.parametrize(("message", "body"), FRAMES.items(), ids=repr)
def test_each_message_is_on_the_wire_what_it_was(message: Message, body: bytes) -> None:
    assert encode(message) == PREFIX.pack(len(body)) + body
    assert decode(body) == message


def test_each_message_is_among_them() -> None:
    assert {type(message) for message in FRAMES} == set(NUMBERS.values())
    assert OFFER.version == VERSION


def test_a_receiver_s_first_text_says_which_handshake_it_is() -> None:
    assert READY[:1] != XL_READY[:1]


@pytest.mark.parametrize(
    ("wire", "words"),
    [
        ([], "no array"),
        ({}, "no array"),
        (7, "no array"),
        ([99], "no message has the number 99"),
        ([True], "no message has the number True"),
        (["4"], "no message"),
        ([4, 1], "Beat has 1 fields, not 0"),
        ([9], "GiveUp has 0 fields"),
        ([9, b"bytes"], "text is bytes, not str"),
        ([9, "x" * (TEXT_MAX + 1)], "more than"),
        ([7, 1, ""], "runs is int, not bool"),
        ([3, 99, ""], "is 99, no Refusal"),
        ([2, -1, "", ""], "outside"),
        ([2, 1, "", "x" * (NAME_MAX + 1)], "more than"),
        (
            [1, 1, 1, "p", b"j" * 15, *IDS[1:], "pv", 1, "", "", b"", False],
            "job is not 16",
        ),
        ([1, 1, 1, "p", *IDS, "pv", 1, "", "", b"", False, "more"], "has 13 fields"),
    ],
)
def test_what_is_not_exactly_a_message_is_refused(wire: object, words: str) -> None:
    with pytest.raises(RemoteProtocolError, match=words):
        decode(msgpack.packb(wire))


def test_fields_of_a_later_version_are_left_unread() -> None:
    wire = [1, VERSION + 1, 1, "p", *IDS, "pv", 1, "", "", b"", False, "more", 7]
    offer = decode(msgpack.packb(wire))
    assert isinstance(offer, Offer)
    assert offer.version == VERSION + 1


def test_what_does_not_fit_is_not_sent() -> None:
    with pytest.raises(LocalProtocolError, match=r"GiveUp\.text"):
        encode(GiveUp("x" * (TEXT_MAX + 1)))
    largest = OFFER.replace(config=bytes(DATA_MAX), package="p" * NAME_MAX)
    assert len(encode(largest)) <= LARGEST


def test_other_messages_are_none_of_these() -> None:
    with pytest.raises(LocalProtocolError, match="Hello"):
        encode(Hello(1, 1, "p"))


@given(st.binary(max_size=200))
def test_any_bytes_are_a_message_or_refused(body: bytes) -> None:
    try:
        assert encode(decode(body))
    except RemoteProtocolError:
        pass
