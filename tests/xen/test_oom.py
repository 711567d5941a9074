"""The kernel kills a helper for want of memory, and we can prove it."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from .following import Following, unread_pipe
from .support import assert_went_on, command_lines, domid_of, in_log_dirty_mode

pytestmark = pytest.mark.xen

#: The toolstack is spared, and so is what it starts, unless it is told otherwise.
IN_GROUP = """
echo $$ >"$0/cgroup.procs"
echo -1000 >/proc/self/oom_score_adj
exec "$@"
"""
FIRST_OF_ALL = "1000"
#: The numbers in the kernel's log mean nothing there.
NAMESPACE = ("unshare", "--pid", "--fork", "--kill-child", "--mount-proc")
#: What is missing: less than any helper holds.
SHORT = 4 << 20


@pytest.fixture
def group(cgroups: Path) -> Iterator[Path]:
    """A control group for the toolstack."""
    folder = cgroups / "toolstack"
    folder.mkdir()
    yield folder
    folder.rmdir()


def squeeze(group: Path) -> None:
    """Take memory from a group until its helpers are killed."""
    for pid, words in command_lines():
        if "libxlpy_helper" in words:
            Path(f"/proc/{pid}/oom_score_adj").write_text(FIRST_OF_ALL)
    found = re.search(r"^anon (\d+)$", (group / "memory.stat").read_text(), re.M)
    assert found is not None
    limit = group / "memory.max"
    limit.write_text(str(int(found[1]) - SHORT))
    limit.write_text("max")


@pytest.mark.parametrize(
    ("prefix", "proof"),
    [
        ((), r"\(kernel log: Memory cgroup out of memory: Killed process \d+ "),
        (NAMESPACE, r"\(/sys/fs/cgroup/toolstack/memory.events counts one more"),
    ],
    ids=["log", "group"],
)
def test_kernel_kills_the_helper(
    make_guest, saved: Path, group: Path, prefix: tuple[str, ...], proof: str
) -> None:
    guest = make_guest("pvh")
    before, pipe = guest.ticks(), saved.with_name("pipe")
    inside = ("sh", "-c", IN_GROUP, str(group), *prefix)
    with (
        unread_pipe(pipe),
        Following("save", "--live", guest.name, pipe, prefix=inside) as save,
    ):
        save.until_phase("libxc")
        squeeze(group)
        line = save.failure()
    assert "signal SIGKILL, for want of memory" in line
    assert re.search(proof, line)
    assert "guest is running" in line
    assert not in_log_dirty_mode(domid_of(guest))
    assert_went_on(before, guest.next_ticks(2))
