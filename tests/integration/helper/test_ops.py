"""Domain ops: each hypercall, with its arguments and its result."""

import errno
from pathlib import Path

import pytest

from libxlpy_protocol.enums import Mode, Op
from libxlpy_protocol.messages import DomainOp, OpResult, Suspend
from tests.support.compiling import compile_fake
from tests.support.helper_driver import FakeHost, Parent

U64_MAX = (1 << 64) - 1
SHUTDOWN_SUSPEND = 4 | 2 << 16


def ops_helper(host: FakeHost) -> Parent:
    return host.helper()


def ready(parent: Parent) -> None:
    parent.greet()
    parent.start(Mode.OPS, calls=())


def test_info_has_every_field_at_its_full_width(host: FakeHost) -> None:
    host.domains({5: 1, 7: 2 | SHUTDOWN_SUSPEND | 64})
    with ops_helper(host) as parent:
        ready(parent)
        result = parent.op(Op.INFO, 7)
    assert result == OpResult(
        0, 0, (7, 2 | 4, 2, 1007, 2007, 3, U64_MAX, 1), b"\x07" * 16
    )


def test_info_of_a_domain_that_is_not_there_is_esrch(host: FakeHost) -> None:
    host.domains({5: 32, 9: 32})
    with ops_helper(host) as parent:
        ready(parent)
        assert parent.op(Op.INFO, 7) == OpResult(-1, errno.ESRCH)


def test_list_walks_through_all_domains(host: FakeHost) -> None:
    host.domains({0: 32, 5: 16, 9: 8})
    found = []
    with ops_helper(host) as parent:
        ready(parent)
        first = 0
        while (result := parent.op(Op.LIST, 0, first)).retval == 1:
            found.append(result.values[:2])
            first = result.values[0] + 1
        assert result == OpResult(0)
        assert parent.op(Op.LIST, 0, -1) == OpResult(-1, errno.EINVAL)
    assert found == [(0, 32), (5, 16), (9, 8)]


@pytest.mark.parametrize(
    ("op", "argument", "called"),
    [
        (Op.PAUSE, 0, "pause 7 0"),
        (Op.UNPAUSE, 0, "unpause 7 0"),
        (Op.SHUTDOWN, 2, "shutdown 7 2"),
        (Op.RESUME, 1, "resume 7 1"),
        (Op.RESUME, 0, "resume 7 0"),
        (Op.LOGDIRTY_OFF, 0, "shadow_op 7 0"),
    ],
)
def test_each_op_is_one_hypercall(
    host: FakeHost, op: Op, argument: int, called: str
) -> None:
    with ops_helper(host) as parent:
        ready(parent)
        assert parent.op(op, 7, argument) == OpResult(0)
    assert host.calls() == [called]


def test_hvm_param_is_the_only_value(host: FakeHost) -> None:
    with ops_helper(host) as parent:
        ready(parent)
        assert parent.op(Op.HVM_PARAM, 7, 14) == OpResult(0, 0, (7014,))
        assert parent.op(Op.HVM_PARAM, 7, -1) == OpResult(-1, errno.EINVAL)


def test_memory_is_what_is_free_what_of_that_is_claimed_and_if_dom0_is_sized(
    host: FakeHost,
) -> None:
    host.domains({5: 1, 7: 32})
    with ops_helper(host) as parent:
        ready(parent)
        result = parent.op(Op.MEMORY, 0)
    assert result == OpResult(0, 0, (5 << 20, 15 + 17, 1))


def test_writes_are_those_of_a_short_time_after_which_none_are_logged(
    host: FakeHost,
) -> None:
    with ops_helper(host) as parent:
        ready(parent)
        result = parent.op(Op.WRITES, 7, 2)
        half, whole, *spent = result.values
        assert (half, whole) == (500, 1000)
        assert 1_000_000 <= spent[0] < spent[1]
        for odd in (0, -1, 1001):
            assert parent.op(Op.WRITES, 7, odd) == OpResult(-1, errno.EINVAL)
    calls = [f"shadow_op 7 {op}" for op in (2, 12, 12, 12, 0)]
    assert host.calls() == calls


def test_log_of_somebody_else_stays_on(host: FakeHost) -> None:
    host.refuse_logdirty_off(errno.EINVAL)
    with ops_helper(host) as parent:
        ready(parent)
        assert parent.op(Op.WRITES, 7, 2) == OpResult(-1, errno.EINVAL)
    assert host.calls() == ["shadow_op 7 2"]


def test_parent_that_goes_meanwhile_has_the_log_switched_off(host: FakeHost) -> None:
    with ops_helper(host) as parent:
        ready(parent)
        parent.send(DomainOp(Op.WRITES, 7, 1000), 1)
        parent.hang_up()
        parent.wait()
    assert host.calls()[-1] == "shadow_op 7 0"


def test_capabilities_are_those_of_the_hypervisor(host: FakeHost) -> None:
    with ops_helper(host) as parent:
        ready(parent)
        assert parent.op(Op.CAPABILITIES, 0) == OpResult(0, 0, (0x12,))


def test_failure_carries_errno(host: FakeHost) -> None:
    with ops_helper(host) as parent:
        ready(parent)
        assert parent.op(Op.DESTROY, 7) == OpResult(-1, errno.EPERM)
        assert parent.op(Op.SHUTDOWN, 7, 256) == OpResult(-1, errno.EINVAL)


@pytest.mark.parametrize(
    ("errnoval", "result"),
    [
        (errno.EINVAL, OpResult(0)),  # a domain that can't log: it doesn't
        (errno.EBUSY, OpResult(-1, errno.EBUSY)),
        (errno.EPERM, OpResult(-1, errno.EPERM)),
    ],
)
@pytest.mark.parametrize("options", [[], ["-DFAKE_4_14"]])
def test_log_dirty_mode_that_a_domain_has_not_is_off(
    host: FakeHost, tmp_path: Path, options: list[str], errnoval: int, result: OpResult
) -> None:
    host.library = compile_fake(tmp_path / "libxenguest.so", *options)
    host.refuse_logdirty_off(errnoval)
    with ops_helper(host) as parent:
        ready(parent)
        assert parent.op(Op.LOGDIRTY_OFF, 7) == result
    assert host.calls() == ["shadow_op 7 0"]


def test_log_dirty_goes_through_the_function_of_before_4_16(
    host: FakeHost, tmp_path: Path
) -> None:
    host.library = compile_fake(tmp_path / "old.so", "-DFAKE_4_14")
    with ops_helper(host) as parent:
        ready(parent)
        assert parent.op(Op.LOGDIRTY_OFF, 7) == OpResult(0)
    assert host.calls() == ["shadow_op 7 0"]


def test_ops_work_while_a_callback_is_open(host: FakeHost, stream_fd: int) -> None:
    host.script("suspend")
    with host.helper([stream_fd]) as parent:
        parent.greet()
        parent.start(domid=7, stream_fd=stream_fd)
        parent.expect(Suspend)
        assert parent.op(Op.PAUSE, 7) == OpResult(0)


def test_eight_ops_at_once_are_answered_in_order(host: FakeHost) -> None:
    with ops_helper(host) as parent:
        ready(parent)
        ids = []
        for _ in range(8):
            parent.send(DomainOp(Op.PAUSE, 7))
            ids.append(parent.session.last_call_id)
        answered = [parent.expect_event(OpResult).call_id for _ in range(8)]
    assert answered == ids
