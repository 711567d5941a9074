"""A store with a guest in it, and its clients."""

import pytest

from libxlpy.simxen.xenstored.store import Store
from tests.unit.simxen.caller import Caller


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
