"""Executables before and after a migration: they see it, may refuse it, are bounded."""

import asyncio
import json
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from libxlpy import (
    Context,
    GuestState,
    HookFailed,
    MigrateResult,
    MigrationHooks,
    MigrationOpen,
    PeerFailed,
)
from libxlpy.backend import detect
from libxlpy.deadlines import Deadlines
from libxlpy.migration.hooks import Hooks
from libxlpy.process.environment import Environment, HypercallHelpers
from tests.support.guest import Guest, aside
from tests.support.peers import Peer
from tests.support.real_host import QUICK

#: Writes down when it was run, by what name, and what it was told.
NOTES = """#!/bin/sh
printf '%s %s ' "$1" "${0##*/}" >>FOLDER/notes
cat >>FOLDER/notes
"""


class Folder:
    """A folder of hooks, and what those that are run write down."""

    def __init__(self, path: Path) -> None:
        self.path = path / "hooks"
        self.path.mkdir(0o755)
        self.notes = path / "notes"

    def add(self, name: str, text: str = NOTES, mode: int = 0o755) -> Path:
        hook = self.path / name
        hook.write_text(text.replace("FOLDER", str(self.notes.parent)))
        hook.chmod(mode)
        return hook

    def seen(self) -> list[tuple[str, str, dict[str, Any]]]:
        if not self.notes.exists():
            return []
        lines = [line.split(" ", 2) for line in self.notes.read_text().splitlines()]
        return [(when, name, json.loads(told)) for when, name, told in lines]

    def order(self) -> list[tuple[str, str]]:
        return [(when, name) for when, name, _ in self.seen()]

    @property
    def wanted(self) -> MigrationHooks:
        return MigrationHooks(self.path, "target")


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


def hooks(host: Path, folder: Folder, seconds: float = 20.0) -> Hooks:
    deadlines = Deadlines(hooks=seconds)
    env = Environment(detect("simxen", host), deadlines, HypercallHelpers())
    return Hooks(env, folder.wanted, "send")


# ----- which ----------------------------------------------------------------------


async def test_they_run_in_order_and_know_the_facts(host: Path, folder: Folder):
    for name in ("20-b", "10-a", "30-c.sh"):
        folder.add(name)
    these = hooks(host, folder)
    await these.before(domid=7, uuid="u", name="web")
    assert await these.after(domid=7, uuid="u", name="web", outcome="moved") == []
    assert await these.after(domid=7) == [], "once only"
    order = ["10-a", "20-b", "30-c.sh"]
    assert folder.order() == [
        (when, name) for when in ("before-send", "after-send") for name in order
    ]
    before, after = folder.seen()[0][2], folder.seen()[-1][2]
    facts = {"peer": "target", "domid": 7, "uuid": "u", "name": "web"}
    assert before == {"when": "before-send", **facts}
    assert after == {"when": "after-send", **facts, "outcome": "moved"}


async def test_what_is_no_hook_is_not_run(host: Path, folder: Folder):
    for name in (".hidden", "old~", "a.dpkg-old", "a.bak"):
        folder.add(name)
    folder.add("README", mode=0o644)
    (folder.path / "folder").mkdir()
    await hooks(host, folder).before()
    assert folder.order() == []


async def test_environment_is_none_of_ours(
    host: Path, folder: Folder, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("LD_PRELOAD", "/nothing")
    folder.add("10-env", "#!/bin/sh\nenv >FOLDER/env\npwd >>FOLDER/env\n")
    await hooks(host, folder).before()
    lines = (folder.notes.parent / "env").read_text().splitlines()
    names = {line.partition("=")[0] for line in lines}
    assert names == {"PATH", "LANG", "PWD", "/"}


@pytest.mark.parametrize("what", ["folder", "hook"])
async def test_hook_that_others_can_write_is_not_run(
    host: Path, folder: Folder, what: str
):
    hook = folder.add("10-a")
    (folder.path if what == "folder" else hook).chmod(0o777)
    with pytest.raises(HookFailed, match="chmod go-w") as caught:
        await hooks(host, folder).before()
    assert caught.value.when == "before-send"
    assert folder.order() == []


async def test_hook_of_another_user_is_not_run(host: Path, folder: Folder):
    os.chown(folder.add("10-a"), 1, 1)
    with pytest.raises(HookFailed, match="belongs to user"):
        await hooks(host, folder).before()
    assert folder.order() == []


async def test_link_to_what_others_can_write_is_not_run(host: Path, folder: Folder):
    target = folder.notes.parent / "open"
    target.write_text(NOTES)
    target.chmod(0o777)
    (folder.path / "10-link").symlink_to(target)
    with pytest.raises(HookFailed, match=f"chmod go-w {target}|it is open to others"):
        await hooks(host, folder).before()


async def test_folder_that_is_not_there_is_told(host: Path, folder: Folder):
    folder.path.rmdir()
    with pytest.raises(HookFailed, match=f"{folder.path}.*No such file"):
        await hooks(host, folder).before()


# ----- how one ends ---------------------------------------------------------------


async def test_one_that_fails_keeps_the_next_from_running(host: Path, folder: Folder):
    folder.add("10-a")
    hook = folder.add("20-no", "#!/bin/sh\necho no room >&2\nexit 3\n")
    folder.add("30-c")
    these = hooks(host, folder)
    with pytest.raises(HookFailed) as caught:
        await these.before(domid=7)
    text = f"hook {hook} (before-send) failed: exit status 3: no room"
    assert str(caught.value) == text
    assert caught.value.stderr == "no room\n"
    assert folder.order() == [("before-send", "10-a")]
    (failure,) = await these.after(domid=7)
    assert "(after-send) failed: exit status 3" in failure
    assert folder.order()[1:] == [("after-send", "10-a"), ("after-send", "30-c")]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("no program", "can't be started: Exec format error"),
        ("#!/nowhere/sh\n", "can't be started: No such file"),
        ("#!/bin/sh\nkill -SEGV $$\n", "signal SIGSEGV"),
    ],
)
async def test_one_that_can_t_run_is_told(
    host: Path, folder: Folder, text: str, words: str
):
    folder.add("10-a", text)
    with pytest.raises(HookFailed, match=words):
        await hooks(host, folder).before()


async def test_one_that_hangs_is_ended_with_its_group(host: Path, folder: Folder):
    text = "#!/bin/sh\ntrap '' TERM\necho stuck >&2\nsleep 1000 &\necho $! >FOLDER/pid"
    folder.add("10-a", f"{text}\nwait\n")
    began = asyncio.get_running_loop().time()
    with pytest.raises(HookFailed, match=r"deadline hooks of 0\.5 s passed: stuck"):
        await hooks(host, folder, 0.5).before()
    assert asyncio.get_running_loop().time() - began < 5
    pid = int((folder.notes.parent / "pid").read_text())
    while psutil.pid_exists(pid) and psutil.Process(pid).status() != "zombie":
        await asyncio.sleep(0.01)  # killed; whoever adopts it has to see it


async def test_all_of_them_have_one_bound(host: Path, folder: Folder):
    for number in range(5):
        folder.add(f"{number}", "#!/bin/sh\nsleep 0.3\n")
    with pytest.raises(HookFailed, match=r"deadline hooks of 0\.5 s passed"):
        await hooks(host, folder, 0.5).before()


@pytest.mark.parametrize("seconds", [0, 0.001, 0.003, 0.01, 0.03])
async def test_one_that_is_cancelled_as_it_starts_leaves_nothing(
    host: Path, folder: Folder, seconds: float
):
    folder.add("10-a", "#!/bin/sh\nsleep 1000 &\nwait\n")
    for _ in range(5):
        running = asyncio.create_task(hooks(host, folder).before())
        await asyncio.sleep(seconds)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running


async def test_one_that_is_cancelled_is_ended(host: Path, folder: Folder):
    folder.add("10-a", "#!/bin/sh\necho $$ >FOLDER/pid\nsleep 1000\n")
    running = asyncio.create_task(hooks(host, folder).before())
    while not (path := folder.notes.parent / "pid").exists():
        await asyncio.sleep(0.01)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    pid = int(path.read_text())
    assert not psutil.pid_exists(pid)


async def test_one_that_says_much_is_not_kept_waiting(host: Path, folder: Folder):
    text = "#!/bin/sh\nhead -c 1000000 /dev/zero\nhead -c 1000000 /dev/zero >&2\n"
    folder.add("10-a", text + NOTES.removeprefix("#!/bin/sh\n"))
    await hooks(host, folder).before()
    assert folder.order() == [("before-send", "10-a")]


# ----- of a migration -------------------------------------------------------------

Script = Callable[[Peer], Awaitable[None]]
DEADLINES = QUICK.replace(peer_ready=2.0, peer_answer=2.0)


async def migrate(
    ctx: Context, guest: Guest, script: Script, wanted: MigrationHooks
) -> MigrateResult:
    """Migrate to a peer that follows a script."""
    async with Peer.connected() as (peer, theirs):
        playing = asyncio.create_task(script(peer))
        try:
            fd = theirs.fileno()
            job = await ctx.domain_migrate(
                guest.domid, fd, fd, hooks=wanted, deadlines=DEADLINES
            )
            return await job
        finally:
            playing.cancel()
            await asyncio.gather(playing, return_exceptions=True)


async def good(peer: Peer) -> None:
    await peer.take_to_go()
    await peer.report(0)


async def cut(peer: Peer) -> None:
    await peer.take_to_go()
    peer.hang_up()


async def refused(peer: Peer) -> None:
    await peer.take_to_go()
    await peer.report(3)
    await peer.say(b"domain is yours, you are cleared to unpause")


async def absent(peer: Peer) -> None:
    peer.hang_up()


async def test_migration_has_them_before_and_after(
    ctx: Context, pv: Guest, folder: Folder
):
    await aside(folder.add, "10-a")
    facts = await aside(pv.facts)
    result = await migrate(ctx, pv, good, folder.wanted)
    assert result.report.remarks == ()
    (_, _, before), (_, _, after) = await aside(folder.seen)
    known = {"domid": pv.domid, "uuid": facts["uuid"], "name": pv.name}
    assert before == {"when": "before-send", "peer": "target", **known}
    ended = {"outcome": "moved", "guest": "gone"}
    assert after == {"when": "after-send", "peer": "target", **known, **ended}


@pytest.mark.parametrize(
    ("script", "error", "outcome", "where"),
    [
        (absent, PeerFailed, "failed", ""),
        (refused, PeerFailed, "failed", "running"),
        (cut, MigrationOpen, "open", "suspended"),
    ],
)
async def test_they_are_told_of_what_went_wrong(
    ctx: Context,
    pv: Guest,
    folder: Folder,
    script: Script,
    error: type[Exception],
    outcome: str,
    where: str,
):
    await aside(folder.add, "10-a")
    with pytest.raises(error):
        await migrate(ctx, pv, script, folder.wanted)
    when, _, told = (await aside(folder.seen))[-1]
    assert (when, told["outcome"], told["guest"]) == ("after-send", outcome, where)


async def test_one_that_refuses_leaves_the_guest_untouched(
    ctx: Context, pv: Guest, folder: Folder
):
    await aside(folder.add, "10-no", "#!/bin/sh\nexit 1\n")
    with pytest.raises(HookFailed, match="before-send"):
        await migrate(ctx, pv, good, folder.wanted)
    await aside(pv.assert_untouched)
    assert await ctx.list_jobs() == []


async def test_one_that_fails_afterwards_is_told(
    ctx: Context, pv: Guest, folder: Folder
):
    await aside(folder.add, "10-no", '#!/bin/sh\n[ "$1" = before-send ]\n')
    result = await migrate(ctx, pv, good, folder.wanted)
    assert result.guest is GuestState.GONE
    (remark,) = result.report.remarks
    assert "10-no (after-send) failed: exit status 1" in remark
