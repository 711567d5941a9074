"""Parent and helper are killed at once; what they left is recovered."""

import asyncio
import json
import os
import signal
import subprocess
import sys

import pytest

from libxlpy import Context, GuestState, ImageState, Outcome
from libxlpy.errors import ParentLost
from libxlpy.simxen.client import request
from libxlpy.streams import Format, StreamParser
from tests.fault.deaths import (
    die,
    helpers_gone,
    journal,
    left,
    recover,
    rewrite,
)
from tests.fault.saboteur import trace_of
from tests.fault.sweep import DEADLINES, OLD, kinds, long
from tests.support.other_user import OTHER
from tests.support.shell import XLPY, environment


@pytest.fixture
def path(tmp_path):
    """A file that is there already."""
    path = tmp_path / "image"
    path.write_bytes(OLD)
    return path


def test_nothing_to_recover(pv_victim):
    assert recover(pv_victim) == []


@long
def test_both_killed_at_every_kind_of_message(victim, path):
    suspended = 0
    for at in kinds(asyncio.run(trace_of(victim, path))):
        path.write_bytes(OLD)
        context = die(victim, path, at)
        if not context:
            continue  # a run may have fewer messages than the first had
        suspended += victim.info()["shutdown"]
        assert left(victim, path.parent), context
        (found,) = recover(victim)
        assert found.outcome is Outcome.ROLLED_BACK, f"{context}: {found}"
        assert found.guest is GuestState.RUNNING, f"{context}: {found}"
        assert (
            "has ended as it began" in found.text or "has ended in '" in found.text
        ), found
        assert "ended in ''" not in found.text, found
        victim.assert_unharmed(f"{context}: {found}")
        assert left(victim, path.parent) == [], context
        assert path.read_bytes() == OLD, context
        assert recover(victim) == [], context
    assert suspended, "no death found the guest suspended"


def test_report_says_it_all(hvm_victim, path):
    assert die(hvm_victim, path, "<ToolstackSave")
    (found,) = recover(hvm_victim)
    assert isinstance(found.error, ParentLost)
    assert found.error.details.phase == "emulator"
    assert found.image is ImageState.PARTIAL
    assert {
        "log-dirty mode off",
        "device model runs again",
        "guest resumed",
        "device model's state file removed",
        "image.partial removed",
    } <= set(found.repairs)
    assert "\n" not in str(found)


def test_dry_run_changes_nothing(hvm_victim, path):
    assert die(hvm_victim, path, "<ToolstackSave")

    def seen():
        files = [*hvm_victim.directory.glob("jobs/*"), *path.parent.iterdir()]
        facts = hvm_victim.info()
        state = (facts["shutdown"], facts["logdirty"], facts["qmp_running"])
        return {each: each.read_bytes() for each in files}, state

    before = seen()
    (told,) = recover(hvm_victim, dry_run=True)
    assert seen() == before
    assert told.guest is GuestState.SUSPENDED
    assert "guest put right" in told.repairs
    assert "image.partial removed" in told.repairs
    (done,) = recover(hvm_victim)
    assert (told.job, told.outcome) == (done.job, done.outcome)
    hvm_victim.assert_unharmed(str(done))


def test_two_recover_at_once(hvm_victim, path):
    assert die(hvm_victim, path, "<ToolstackSave")
    command = [*XLPY, "--host", str(hvm_victim.directory), "recover", "--json"]
    both = [
        subprocess.Popen(command, stdout=subprocess.PIPE, env=environment())
        for _ in range(2)
    ]
    answers = [json.loads(each.communicate(timeout=60)[0]) for each in both]
    outcomes = [each["outcome"] for answer in answers for each in answer]
    assert outcomes.count("rolled back") == 1, answers
    assert set(outcomes) <= {"rolled back", "still running"}, answers
    hvm_victim.assert_unharmed(str(answers))
    assert left(hvm_victim, path.parent) == []


def test_next_job_puts_right_what_is_left(hvm_victim, path):
    assert die(hvm_victim, path, "<ToolstackSave")
    asyncio.run(trace_of(hvm_victim, path))
    hvm_victim.assert_unharmed("saved and resumed")
    assert left(hvm_victim, path.parent) == []


# ----- identities ---------------------------------------------------------------------


def test_process_with_a_reused_pid_is_not_touched(pv_victim, path):
    assert die(pv_victim, path, "<Complete")
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=-1) as other:
        entry = json.loads(journal(pv_victim).read_text())
        (helper,) = entry["helpers"]
        started = helper["start_time"]
        reused = {**helper, "pid": other.pid, "start_time": started + 1}
        rewrite(pv_victim, helpers=[reused], parent={**reused, "pid": os.getpid()})
        (found,) = recover(pv_victim)
        assert found.outcome is Outcome.ROLLED_BACK
        assert other.poll() is None
        other.communicate(b"\n")
        assert other.returncode == 0
    pv_victim.assert_unharmed(str(found))


def test_domain_with_a_reused_domid_is_not_touched(hvm_victim, path):
    assert die(hvm_victim, path, "<ToolstackSave")
    uuid = "12345678-1234-4234-8234-123456789abc"
    rewrite(hvm_victim, uuid=uuid)
    before = hvm_victim.info()
    (found,) = recover(hvm_victim)
    assert found.outcome is Outcome.GUEST_GONE
    assert "another domain" in found.text
    assert found.guest is GuestState.GONE
    after = hvm_victim.info()
    assert after["shutdown"]
    assert after["counter"] == before["counter"]
    state = f"qemu-save.{hvm_victim.domid}"  # may be the other domain's
    assert left(hvm_victim, path.parent) == [state]
    (hvm_victim.directory / state).unlink()


def test_file_that_the_journal_names_is_not_removed_for_that(
    hvm_victim, path, tmp_path
):
    """What goes is the domain's own state file, and only if it is ours."""
    assert die(hvm_victim, path, "<ToolstackSave")
    precious = tmp_path / "precious"
    precious.write_bytes(b"precious")
    state = hvm_victim.directory / f"qemu-save.{hvm_victim.domid}"
    os.chown(state, OTHER, OTHER)
    rewrite(hvm_victim, state_path=str(precious))
    (found,) = recover(hvm_victim)
    assert found.outcome is Outcome.ROLLED_BACK
    assert precious.read_bytes() == b"precious"
    assert state.exists()
    assert not any("state file" in fact for fact in found.repairs)
    state.unlink()
    hvm_victim.assert_unharmed(str(found))


def test_guest_that_is_gone(pv_victim, host, path):
    made = request(host, "create", name="short", type="pv", memory_mib=4)
    victim = type(pv_victim)(host, made["domid"], "pv")
    assert die(victim, path, "<Complete")
    request(host, "destroy", domid=victim.domid)
    (found,) = recover(victim)
    # All was written, and it is all that is left of the guest.
    assert found.outcome is Outcome.FINISHED
    assert found.guest is GuestState.GONE
    assert_whole(path)
    assert left(victim, path.parent) == []


# ----- a helper that outlives its parent ----------------------------------------------


def test_helper_alive_is_waited_for(hvm_victim, path):
    assert die(hvm_victim, path, "<ToolstackSave", helper=0)
    (found,) = recover(hvm_victim)
    assert found.outcome is Outcome.ROLLED_BACK
    assert not [text for text in found.repairs if "SIG" in text]
    hvm_victim.assert_unharmed(str(found))
    assert left(hvm_victim, path.parent) == []


def test_helper_that_hangs_is_killed(hvm_victim, path, monkeypatch):
    monkeypatch.setattr("libxlpy.recovery.recovery.ALONE", 0.2)
    assert die(hvm_victim, path, "<ToolstackSave", helper=int(signal.SIGSTOP))
    (found,) = recover(hvm_victim)
    assert found.outcome is Outcome.ROLLED_BACK
    assert [text for text in found.repairs if "SIGKILL" in text]
    hvm_victim.assert_unharmed(str(found))
    assert left(hvm_victim, path.parent) == []


# ----- on_parent_loss -----------------------------------------------------------------


def test_finish_leaves_a_whole_file_and_a_suspended_guest(pv_victim, path):
    assert die(pv_victim, path, "<Complete", helper=0, policy="FINISH")
    helpers_gone()
    (found,) = recover(pv_victim)
    assert found.outcome is Outcome.FINISHED
    assert found.guest is GuestState.SUSPENDED
    assert found.image is ImageState.COMPLETE
    assert_whole(path)
    assert left(pv_victim, path.parent) == []
    resume(pv_victim)


def test_finish_with_the_helper_killed_is_rolled_back(hvm_victim, path):
    assert die(hvm_victim, path, "<ToolstackSave", policy="FINISH")
    helpers_gone()
    (found,) = recover(hvm_victim)
    assert found.outcome is Outcome.ROLLED_BACK
    hvm_victim.assert_unharmed(str(found))
    assert path.read_bytes() == OLD
    assert left(hvm_victim, path.parent) == []


def test_finish_before_the_guest_is_suspended_resumes_it(pv_victim, path):
    assert die(pv_victim, path, "<Suspend", helper=0, policy="FINISH")
    helpers_gone()
    (found,) = recover(pv_victim)
    assert found.outcome is Outcome.ROLLED_BACK
    pv_victim.assert_unharmed(str(found))


# ----- after the job ------------------------------------------------------------------


def test_death_between_save_and_commit_is_rolled_back(victim, path):
    assert die(victim, path, "saved")
    (found,) = recover(victim)
    assert found.outcome is Outcome.ROLLED_BACK
    victim.assert_unharmed(str(found))
    assert path.read_bytes() == OLD
    assert left(victim, path.parent) == []


def test_death_after_the_commit_keeps_the_file_and_resumes(victim, path):
    assert die(victim, path, "committed")
    (found,) = recover(victim)
    assert found.outcome is Outcome.FINISHED
    victim.assert_unharmed(str(found))
    assert_whole(path)
    assert left(victim, path.parent) == []


# ----- journals that can't be trusted -------------------------------------------------


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda path: path.write_bytes(b"\x00garbage"), "is damaged"),
        (lambda path: path.write_bytes(path.read_bytes()[:500]), "is damaged"),
        (lambda path: path.write_text("{}"), "version None, not 3"),
        (lambda path: path.write_text('{"version": 3}'), "has not the fields"),
        (lambda path: path.chmod(0o644), "is not ours alone"),
        (lambda path: path.rename(path.with_name("9999.json")), "is about domain"),
    ],
    ids=["garbage", "truncated", "empty", "fields", "foreign", "renamed"],
)
def test_bad_journal_is_one_line_and_not_touched(pv_victim, path, damage, said):
    assert die(pv_victim, path, "<Complete")
    good = journal(pv_victim)
    kept = good.read_bytes()
    damage(good)
    (bad,) = good.parent.glob("*.json")
    damaged = bad.read_bytes()
    (found,) = recover(pv_victim)
    assert found.outcome is Outcome.UNREADABLE
    assert said in str(found)
    assert "\n" not in str(found)
    assert str(bad) in str(found)
    assert bad.read_bytes() == damaged
    assert pv_victim.info()["shutdown"]
    bad.unlink()
    good.write_bytes(kept)
    good.chmod(0o600)
    (found,) = recover(pv_victim)
    pv_victim.assert_unharmed(str(found))


# ----- small things -------------------------------------------------------------------


def assert_whole(path):
    parser = StreamParser(Format.LIBXL)
    parser.feed(path.read_bytes())
    parser.close()


def resume(victim):
    async def work():
        async with Context("simxen", victim.directory, DEADLINES) as ctx:
            await ctx.domain_resume(victim.domid)

    asyncio.run(work())
    victim.assert_unharmed("resumed")
