"""`xlpy jobs`, `abort` and `recover` beside a save that runs in another process."""

import json
import os
import signal
from pathlib import Path

import pytest


@pytest.fixture
def pipe(tmp_path):
    """A pipe that is open for reading and never read: a save to it gets stuck."""
    path = tmp_path / "pipe"
    os.mkfifo(path)
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    yield path
    os.close(fd)


def stuck(shell, path):
    return shell.running("save", "--json", "--live", "web", path)


def test_no_jobs(shell):
    assert shell.json("jobs", "--json") == []
    assert shell.good("jobs").startswith("Job ")
    assert shell.json("recover", "--json") == []
    done = shell.run("recover")
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr == "nothing to recover\n"


def test_job_is_listed_refused_to_others_and_aborted(shell, pipe):
    with shell.guest("web") as domid, stuck(shell, pipe) as save:
        save.until_phase("libxc")
        (job,) = shell.json("jobs", "--json")
        assert job["domid"] == domid
        assert job["state"] == "running"
        assert job["pid"] == save.process.pid
        assert job["job"] in shell.good("jobs")
        line = shell.bad("save", "web", "/dev/null")
        assert f"job {job['job']} of process {save.process.pid}" in line
        assert shell.json("recover", "--json") == []
        lives = f"{job['job']} is not lost, its process {save.process.pid} lives"
        assert shell.run("recover").stderr == f"nothing to recover; {lives}\n"
        done = shell.run("abort", job["job"])
        assert done.stderr == f"{job['job']}: aborted; guest is running\n"
        line = save.failure(1)
        assert f"(domid {domid}) cancelled by request: `xlpy abort`" in line
        assert "failed" not in line
        assert shell.facts("web")["running"]
        assert shell.json("jobs", "--json") == []


def test_job_of_a_dead_process_is_recovered(shell, pipe):
    with shell.guest("web", type="hvm"), stuck(shell, pipe) as save:
        save.until_phase("libxc")
        (entry,) = (shell.host / "jobs").glob("*.json")
        helper = json.loads(entry.read_text())["helpers"][0]["pid"]
        while not shell.facts("web")["logdirty"]:
            assert save.process.poll() is None
        os.kill(helper, signal.SIGSTOP)  # lest it repairs before it dies
        for pid in (save.process.pid, helper):
            os.kill(pid, signal.SIGKILL)
        save.process.wait()
        (job,) = shell.json("jobs", "--json")
        assert job["state"] == "lost"
        for telling in (["abort"], ["jobs", "--stop-and-copy"]):
            assert "has ended: use recover" in shell.bad(*telling, job["job"])
        assert shell.good("recover", "--dry-run").startswith(f"dry run: {job['job']}: ")
        assert shell.facts("web")["logdirty"]
        assert "no report of job" in shell.bad("report", job["job"])
        line = shell.good("recover")
        assert line.startswith(f"{job['job']}: save of domain {job['domid']} rolled")
        assert line.count("\n") == 1
        report = shell.good("report", job["job"]).splitlines()
        assert f"job: save of domain {job['domid']}" in report
        assert "guest: running" in report
        facts = shell.facts("web")
        assert (facts["logdirty"], facts["qemu_logdirty"]) == (False, False)
        assert facts["running"]
        assert shell.json("recover", "--json") == []


def test_unknown_job(shell):
    assert "no such job: nothing" in shell.bad("abort", "nothing")


def test_damaged_entry_is_one_line(shell):
    folder = shell.host / "jobs"
    folder.mkdir(mode=0o700, exist_ok=True)
    entry = folder / "77.json"
    entry.touch(mode=0o600)
    done = shell.run("recover")
    assert done.returncode == 1
    assert done.stdout.startswith("domain 77: unreadable: journal ")
    assert done.stdout.count("\n") == 1
    entry.unlink()


def test_report_of_a_failed_job(shell, tmp_path):
    with shell.guest("web") as domid:
        shell.ask("misbehave", domid=domid, fault="crash")
        done = shell.run("-v", "save", "web", tmp_path / "image")
        assert done.returncode == 1
        (line,) = [each for each in done.stderr.splitlines() if "report: " in each]
        path = Path(line.partition("report: ")[2])
        text = shell.good("report", path.stem)
        assert text == path.read_text()
        assert f"error: save of domain {domid}: " in text
    line = shell.bad("report", "save-1-ffffff")
    assert line.startswith("xlpy: no report of job save-1-ffffff: the newest are ")
    assert path.stem in line


def test_jobs_are_watched_until_none_is_left(shell, pipe):
    with shell.guest("web"), stuck(shell, pipe) as save:
        save.until_phase("precopy")
        with shell.running("jobs", "--watch", "--json") as watch:
            seen = watch.event()
            while not (seen["figures"] and seen["figures"]["total"]):
                seen = watch.event()
            assert seen["pid"] == save.process.pid
            assert seen["figures"]["total"] == 16 << 20
            assert 0 < seen["figures"]["remaining"] <= 16 << 20
            shell.good("abort", seen["job"])
            left, errors = watch.process.communicate()
            assert (watch.process.returncode, errors) == (0, b"no job is left\n")
            assert all(
                json.loads(line)["job"] == seen["job"]
                for line in left.split(b"\n")[:-1]
            )
        save.failure(1)


def test_watching_ends_with_ctrl_c(shell, pipe):
    with shell.guest("web"), stuck(shell, pipe) as save:
        save.until_phase("precopy")
        with shell.running("jobs", "--watch", "--json") as watch:
            job = watch.event()["job"]
            watch.process.send_signal(signal.SIGINT)
            watch.process.communicate()
            assert watch.process.returncode == 130
        assert save.process.poll() is None
        shell.good("abort", job)
        save.failure(1)


def test_what_is_lost_is_not_waited_for(shell, pipe):
    with shell.guest("web"), stuck(shell, pipe) as save:
        save.until_phase("precopy")
        save.process.kill()
        save.process.wait()
        done = shell.run("jobs", "--watch")
        assert done.stdout.endswith(": lost\n") or ": lost, pass " in done.stdout
        assert done.stderr == "no job is left; 1 lost: use `xlpy recover`\n"
        shell.good("recover")


def test_nothing_to_watch(shell):
    done = shell.run("jobs", "--watch")
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr == "no job is left\n"
    line = shell.bad("jobs", "--watch", "--stop-and-copy", "save-1-abc", status=2)
    assert "--watch is not for --stop-and-copy" in line
