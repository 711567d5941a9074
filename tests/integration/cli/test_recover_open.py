"""`xlpy recover` settles what a migration has left open, if the other host answers."""

import json
import sys

import pytest

from tests.integration.cli.test_migrate import (
    LOSSY,
    Ssh,
    cut,
    host_behind,
    names,
    receivers_gone,
    ssh,
    there,
)
from tests.support.shell import Shell

__all__ = ["host_behind", "ssh", "there"]

#: Has the connection of our own handshake cut where a message passes.
CUT = f'case "$*" in *--control*) exec {sys.executable} {LOSSY} {{}} sh -c "$*";; esac'


def left_open(shell: Shell, host_behind: Ssh, at: str) -> None:
    """Have a migration left open; the hosts can be asked afterwards."""
    host_behind.rewrite(CUT.format(at))
    done = shell.run("migrate", "web", "target")
    assert done.returncode == 1
    line = done.stderr.splitlines()[-1]
    assert "`xlpy recover` asks target, or look there" in line
    assert line.endswith("say `xlpy migrate --resolve --runs here|there web`")
    receivers_gone()
    host_behind.rewrite("")


@pytest.mark.usefixtures("ssh")
def test_report_that_was_lost_is_asked_for(
    shell: Shell, there: Shell, host_behind: Ssh
):
    with shell.guest("web"), there.guest("other"):
        left_open(shell, host_behind, "report")
        assert names(shell) == ["web--migratedaway"]
        told = shell.run("recover", "--dry-run").stdout
        assert "open" in told
        assert "has ended when it may have been given away" in told
        assert "would ask `ssh target`" in told
        assert names(shell) == ["web--migratedaway"]
        (found,) = shell.json("recover", "--json")
        assert (found["outcome"], found["guest"]) == ("finished", "gone")
        assert found["text"].endswith("'web' is at the other end (`ssh target`)")
        assert names(shell) == []
        assert there.facts("web")["running"]
        assert shell.json("recover", "--json") == []


@pytest.mark.usefixtures("ssh")
def test_permission_that_was_lost_is_settled_for_the_source(
    shell: Shell, there: Shell, host_behind: Ssh
):
    with shell.guest("web"), there.guest("other"):
        left_open(shell, host_behind, "go")
        assert "web--incoming" in names(there)
        host_behind.rewrite("echo Welcome >&2")
        done = shell.run("recover", "--json")
        (found,) = json.loads(done.stdout)
        assert (found["outcome"], found["guest"]) == ("rolled back", "running")
        # What it says itself of what was done there, it does not say on our terminal.
        assert done.stderr.splitlines() == [
            "`ssh target`: Welcome",
            "'web' on `ssh target` is destroyed",
            "'web' on this host runs",
        ]
        assert names(shell) == ["web"]
        assert shell.facts("web")["running"]
        assert names(there) == ["other"]
        assert shell.json("jobs", "--json") == there.json("jobs", "--json") == []


@pytest.mark.usefixtures("ssh")
def test_host_that_does_not_answer_leaves_it_open(
    shell: Shell, there: Shell, host_behind: Ssh
):
    with shell.guest("web"), there.guest("other"):
        left_open(shell, host_behind, "report")
        host_behind.rewrite("echo No route >&2; exit 255")
        done = shell.run("recover", "--json")
        assert (done.returncode, done.stderr) == (1, "")
        (found,) = json.loads(done.stdout)
        assert found["outcome"] == "open"
        domid = found["domid"]
        assert f"`xlpy migrate --resolve --runs here|there {domid}`" in found["text"]
        text = "`ssh target` can't be asked: exit status 255: No route"
        assert found["text"].endswith(text)
        assert names(shell) == ["web--migratedaway"]
        assert shell.facts("web--migratedaway")["shutdown"]
        host_behind.rewrite("")
        shell.good("recover")
        assert names(shell) == []


@pytest.mark.usefixtures("ssh")
def test_domain_that_runs_there_under_another_uuid_is_told_and_left(
    shell: Shell, there: Shell, host_behind: Ssh
):
    with shell.guest("web"), there.guest("other"):
        left_open(shell, host_behind, "report")
        there.ask("destroy", domid=there.facts("web")["domid"])
        with there.guest("web"):
            done = shell.run("recover")
            assert done.returncode == 1
            assert "open" in done.stdout
            assert "these are different domains" in done.stdout
            assert names(shell) == ["web--migratedaway"]
            assert there.facts("web")["running"]
        shell.good("migrate", "--resolve", "--runs", "here", "web")


@pytest.mark.usefixtures("ssh")
def test_host_that_is_named_is_asked_and_no_other(
    shell: Shell, there: Shell, host_behind: Ssh
):
    with shell.guest("web"), there.guest("other"):
        left_open(shell, host_behind, "report")
        asks = ("recover", "--ask", "elsewhere", "-s", "false")
        assert "would ask `false elsewhere`" in shell.run(*asks, "--dry-run").stdout
        done = shell.run(*asks)
        assert "open: " in done.stdout
        assert "elsewhere can't be asked: exit status 1" in done.stdout
        assert names(shell) == ["web--migratedaway"]
        done = shell.run("recover", "--ask", "target")
        assert "'web' is at the other end (target)" in done.stdout
        assert names(shell) == []


def test_host_is_named_where_nobody_has_noted_it(
    shell: Shell, there: Shell, host_behind: Ssh, ssh: str
):
    """A host without a copy may be another one than that of the migration."""
    with shell.guest("web"), there.guest("other"):
        cut(shell, there, "go")
        done = there.run("recover")
        assert done.returncode == 1
        assert "has ended with a whole copy" in done.stdout
        domid = there.facts("web--incoming")["domid"]
        assert "`xlpy recover --ask HOST`, HOST being the other end" in done.stdout
        assert f"`xlpy migrate --resolve --runs here|there {domid}`" in done.stdout
        host_behind.put("xlpy", shell)
        there.good("recover", "--ask", "source", "-s", ssh)
        assert names(there) == ["other"]
        assert shell.facts("web")["running"]


def test_host_that_has_no_copy_says_nothing(
    shell: Shell, there: Shell, host_behind: Ssh, ssh: str
):
    with shell.guest("web"), there.guest("other"):
        cut(shell, there, "report")
        there.ask("destroy", domid=there.facts("web")["domid"])
        done = shell.run("recover", "--ask", "target", "-s", ssh)
        assert done.returncode == 1
        assert "target has no copy of it" in done.stdout
        assert names(shell) == ["web--migratedaway"]
        shell.good("migrate", "--resolve", "--runs", "here", "web")
