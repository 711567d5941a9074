"""A saved device model state: cut or changed anywhere, it is refused."""

import hashlib
import struct
import types

import pytest

from libxlpy.simxen.device_model import DeviceModel, read_state
from libxlpy.simxen.errors import SimxenError


@pytest.fixture
def model():
    """Build a device model that does not run."""
    model = DeviceModel.__new__(DeviceModel)
    spec = types.SimpleNamespace(memory_mib=4)
    model._domain = types.SimpleNamespace(uuid="u", spec=spec)
    model.writes = 7
    return model


def test_state_is_read_back(model):
    assert read_state(model.save()) == {"uuid": "u", "memory_mib": 4, "writes": 7}
    state = model.save()
    model.writes = 0
    model.load(state)
    assert model.writes == 7


def test_state_cut_anywhere_is_refused(model):
    state = model.save()
    for cut in [*range(200), *range(200, len(state), 997), len(state) - 1]:
        with pytest.raises(SimxenError, match="device model state"):
            read_state(state[:cut])


def test_changed_or_longer_state_is_refused(model):
    state = model.save()
    for place in (0, 5, 20, 60, 1000, len(state) - 1):
        changed = bytearray(state)
        changed[place] ^= 1
        with pytest.raises(SimxenError, match="device model state"):
            read_state(bytes(changed))
    with pytest.raises(SimxenError, match="damaged"):
        read_state(state + b"x")


def test_state_of_another_size_is_refused(model):
    state = model.save()
    model._domain.spec.memory_mib = 8
    with pytest.raises(SimxenError, match="4 MiB, this one has 8 MiB"):
        model.load(state)


@pytest.mark.parametrize(
    "head",
    [
        b"",
        b"{",
        b"[]",
        b"7",
        b"[" * 100_000,
        b"{}",
        b'{"memory_mib": 4}',
        b'{"memory_mib": 4, "writes": "many"}',
        b'{"memory_mib": 4.0, "writes": 7}',
    ],
)
def test_state_that_is_sound_but_says_nonsense_is_refused(head):
    start = struct.pack(">4sIII", b"QEVM", 3, len(head), len(head))
    with pytest.raises(SimxenError, match="does not say what it must"):
        read_state(start + head + hashlib.sha256(head).digest())
