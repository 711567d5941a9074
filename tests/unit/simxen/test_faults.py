"""Which fault shows where, and for how long."""

import pytest

from libxlpy.simxen.errors import SimxenError
from libxlpy.simxen.faults import FAULTS, Fault, FaultPlan, Place


@pytest.mark.parametrize("name", FAULTS)
def test_fault_shows_at_its_place_only_until_ended(name):
    plan = FaultPlan()
    plan.set(Fault(name))
    for place in Place:
        taken = plan.take(place, "stop")
        assert (taken is not None) is (place is FAULTS[name])
    assert plan.fault is not None
    plan.set(None)
    assert plan.take(FAULTS[name], "stop") is None


@pytest.mark.parametrize("name", FAULTS)
def test_once_is_once(name):
    plan = FaultPlan()
    plan.set(Fault(name, once=True))
    assert plan.take(FAULTS[name], "stop") == Fault(name, once=True)
    assert plan.take(FAULTS[name], "stop") is None


def test_qmp_fault_spares_negotiation_unless_told():
    plan = FaultPlan()
    plan.set(Fault("qmp_silent"))
    for command, shows in (("greeting", 0), ("qmp_capabilities", 0), ("cont", 1)):
        assert (plan.take(Place.QMP, command) is not None) == bool(shows)
    plan.set(Fault("qmp_silent", command="greeting"))
    assert plan.take(Place.QMP, "greeting") is not None
    assert plan.take(Place.QMP, "cont") is None


def test_unknown_fault_is_refused_and_changes_nothing():
    plan = FaultPlan()
    plan.set(Fault("crash"))
    with pytest.raises(SimxenError, match="use one of never_ack"):
        plan.set(Fault("sing"))
    assert plan.fault == Fault("crash")
