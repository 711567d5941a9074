"""`xlpy sim verify` finds what is wrong: one byte, an old page, two pages in each
other's place, a page of zeros. What says "restored well" must be able to say no."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.shell import Shell
from tests.support.simxen_clients import Hypervisor, until

PAGE = 4096
PAGES = 4 << 8
#: Word of a page -> what it holds.
WORDS = {0: "pfn", 1: "generation", 2: "first of body", 510: "last", 511: "checksum"}


@dataclass(frozen=True)
class Memory:
    """The memory of a guest, as the hypervisor gives it to who maps it."""

    fd: int

    def page(self, pfn: int) -> bytes:
        return os.pread(self.fd, PAGE, pfn * PAGE)

    def write(self, pfn: int, page: bytes) -> None:
        assert os.pwrite(self.fd, page, pfn * PAGE) == PAGE

    def flip(self, pfn: int, at: int) -> None:
        """Change one bit."""
        page = bytearray(self.page(pfn))
        page[at] ^= 0x10
        self.write(pfn, bytes(page))


@contextmanager
def mapped(host: Path, domid: int) -> Iterator[tuple[Hypervisor, Memory]]:
    hypervisor = Hypervisor(host)
    fds: list[int] = []
    try:
        hypervisor.ok(Hypervisor.MAP, domid)
        fds = hypervisor.fds
        yield hypervisor, Memory(fds[0])
    finally:
        for fd in fds:
            os.close(fd)
        hypervisor.sock.close()


@pytest.fixture
def memory(shell: Shell) -> Iterator[Memory]:
    """The memory of "web", 4 MiB, filled, not written any more; sound at first."""
    with (
        shell.guest("web", memory_mib=4, rate=0, fill=True) as domid,
        mapped(shell.host, domid) as (_, memory),
    ):
        until(lambda: memory.page(PAGES - 1) != bytes(PAGE))
        assert shell.ask("verify", domid=domid)["match"]
        yield memory


def told(shell: Shell, *, bad: int, first: int | None) -> None:
    """Check what both forms of the command tell, and their exit status."""
    done = shell.run("sim", "verify", "web")
    lines = [f"1,024 pages checked, {bad} bad, digest DOES NOT MATCH"]
    lines += [] if first is None else [f"first bad page: {first:#x}"]
    assert (done.returncode, done.stdout.splitlines()) == (1, lines), done.stderr
    found = shell.ask("verify", domid=shell.facts("web")["domid"])
    assert (found["match"], found["bad"], found["first_bad"]) == (False, bad, first)


@pytest.mark.parametrize("word", WORDS, ids=WORDS.values())
def test_one_changed_bit_is_found(shell: Shell, memory: Memory, word: int) -> None:
    pfn = 0x123
    memory.flip(pfn, word * 8 + 3)
    found = shell.ask("verify", domid=shell.facts("web")["domid"])
    assert (found["match"], found["bad"], found["first_bad"]) == (False, 1, pfn)


def test_a_changed_bit_is_told_with_its_page(shell: Shell, memory: Memory) -> None:
    memory.flip(0x2A5, 99)
    done = shell.run("sim", "verify", "web")
    assert done.returncode == 1
    assert "1,024 pages checked, 1 bad, digest " in done.stdout
    assert done.stdout.endswith("first bad page: 0x2a5\n")


@pytest.mark.parametrize("pfn", [0, PAGES - 1])
def test_the_first_and_the_last_page_are_looked_at(
    shell: Shell, memory: Memory, pfn: int
) -> None:
    memory.flip(pfn, PAGE - 1)
    found = shell.ask("verify", domid=shell.facts("web")["domid"])
    assert (found["bad"], found["first_bad"]) == (1, pfn)


def test_two_pages_in_each_others_place_are_found(shell: Shell, memory: Memory) -> None:
    one, other = memory.page(7), memory.page(0x300)
    memory.write(7, other)
    memory.write(0x300, one)
    found = shell.ask("verify", domid=shell.facts("web")["domid"])
    assert (found["match"], found["bad"], found["first_bad"]) == (False, 2, 7)


def test_a_page_of_zeros_is_missed(shell: Shell, memory: Memory) -> None:
    """It is sound by itself, as one never written is: the digest knows better."""
    memory.write(0x80, bytes(PAGE))
    told(shell, bad=0, first=None)


def test_an_old_page_is_found(shell: Shell) -> None:
    """It is sound by itself, too, but not what the guest wrote last."""
    written = {"rate": 50_000, "pattern": "sequential", "fill": True}
    with (
        shell.guest("web", memory_mib=4, **written) as domid,
        mapped(shell.host, domid) as (hypervisor, memory),
    ):
        until(lambda: memory.page(5) != bytes(PAGE))
        hypervisor.ok(Hypervisor.PAUSE, domid)
        old = memory.page(5)
        hypervisor.ok(Hypervisor.UNPAUSE, domid)
        until(lambda: memory.page(5) != old)
        hypervisor.ok(Hypervisor.PAUSE, domid)
        assert shell.ask("verify", domid=domid)["match"]
        memory.write(5, old)
        told(shell, bad=0, first=None)
