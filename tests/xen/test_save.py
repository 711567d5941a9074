"""Ours against the real thing: `xlpy save`, then the real `xl restore`."""

import asyncio
import json
from pathlib import Path

import pytest

from libxlpy import Context, GuestState, SuspendFlags
from libxlpy.streams.xl import pack_header

from .support import (
    Guest,
    assert_went_on,
    domains,
    domid_of,
    has_shadow_paging,
    ok,
    run,
)

pytestmark = pytest.mark.xen


def test_live_save_leaves_it_running(make_guest, saved: Path) -> None:
    """Log-dirty through our helper; what is left is sent while it is suspended."""
    guest = make_guest("pvh")
    before = guest.ticks()
    done = ok("xlpy", "save", "--live", "-c", "--json", guest.name, saved)
    assert '"iterations": 0' not in done
    assert guest.running()
    assert_went_on(before, guest.next_ticks(2))
    ok("xlpy", "verify", saved)
    guest.destroy()
    guest.restore(saved)
    assert_went_on(before, guest.next_ticks(2))


def test_live_save_of_pv_works_or_is_refused_at_once(make_guest, saved: Path) -> None:
    """By what this Xen can do: its shadow paging logs a PV guest's writes."""
    guest = make_guest("pv")
    before = guest.ticks()
    assert guest.name in {row.split()[0] for row in ok("xlpy", "list").splitlines()}
    done = run("xlpy", "save", "--live", guest.name, saved)
    if has_shadow_paging():
        assert done.returncode == 0, done.stderr
        guest.restore(saved)
        assert_went_on(before, guest.next_ticks(2))
        return
    assert done.returncode == 1
    [line] = done.stderr.splitlines()
    assert "no log-dirty mode for PV guests" in line
    assert not saved.exists()
    assert guest.running()


def test_debug_pass_is_compared_by_real_xl(make_guest, saved: Path) -> None:
    """All memory is sent once more; libxenguest tells each page that differs."""
    guest = make_guest("pvh")
    before = guest.ticks()
    asyncio.run(save_with_debug_pass(domid_of(guest), saved))
    guest.destroy()
    memory = json.loads(ok("xlpy", "inspect", "--json", saved))["memory"]
    assert memory["verify_entries"] >= memory["frames_with_data"]
    restored = run("xl", "restore", saved)
    assert restored.returncode == 0, restored.stderr
    assert "verify pfn" not in restored.stderr
    assert_went_on(before, guest.next_ticks(2))


async def save_with_debug_pass(domid: int, file: Path) -> None:
    async with Context("xen") as ctx:
        with file.open("wb") as stream:
            config = (await ctx.retrieve_config(domid)).rstrip(b"\0")
            stream.write(pack_header(config, json=True))
            stream.flush()
            flags = SuspendFlags.LIVE | SuspendFlags.DEBUG
            result = await (await ctx.domain_suspend(domid, stream.fileno(), flags))
    assert result.guest is GuestState.SUSPENDED


def test_checkpoint_leaves_it_running_or_paused(guest: Guest, saved: Path) -> None:
    before = guest.ticks()
    ok("xlpy", "save", "-c", guest.name, saved)
    assert guest.running()
    assert_went_on(before, guest.next_ticks(2))

    before = guest.ticks()
    ok("xlpy", "save", "-p", guest.name, saved)
    assert not guest.running()
    assert not guest.gone()
    ok("xl", "unpause", guest.name)
    assert_went_on(before, guest.next_ticks(2))

    guest.destroy()
    guest.restore(saved)
    assert_went_on(before, guest.next_ticks(2))


def test_paused_guest_is_saved_and_paused_again(make_guest, saved: Path) -> None:
    guest = make_guest("pvh")
    before = guest.ticks()
    ok("xl", "pause", guest.name)
    ok("xlpy", "save", "-c", guest.name, saved)
    assert "p" in domains()[guest.name]
    ok("xl", "unpause", guest.name)
    assert_went_on(before, guest.next_ticks(2))

    before = guest.ticks()
    ok("xl", "pause", guest.name)
    ok("xlpy", "save", "--live", guest.name, saved)
    assert guest.gone()
    ok("xlpy", "restore", "-p", "-e", saved)
    assert "p" in domains()[guest.name]
    ok("xl", "unpause", guest.name)
    assert_went_on(before, guest.next_ticks(2))


def test_verify_refuses_a_cut_file(stored: Guest, saved: Path) -> None:
    del stored  # never restored
    with saved.open("r+b") as file:
        file.truncate(saved.stat().st_size - 8)
    assert run("xlpy", "verify", saved).returncode == 1


def test_unknown_domain_is_one_line(clean_host: None, saved: Path) -> None:
    del clean_host
    done = run("xlpy", "save", "nobody", saved)
    assert done.returncode == 1
    assert len(done.stderr.strip().splitlines()) == 1
    assert not saved.exists()
