"""`xlpy migrate` and `xlpy migrate-receive` as users type them, between two hosts."""

import asyncio
import json
import os
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from libxlpy import Context, MigrationCommand
from libxlpy.migration.command import LEAVE_WITHIN
from libxlpy_protocol.framing import PREFIX
from libxlpy_protocol.migration import own, xl
from tests.support.processes import living_descendants
from tests.support.shell import PATIENCE, ROOT, Shell, environment

LOSSY = ROOT / "tests" / "support" / "lossy.py"
#: Leads to the other host where a user would say `ssh HOST`; sh runs what was said, and
#: finds only what is in a folder.
SSH = """#!/bin/sh
shift
echo "$*" >>{said}
PATH={there}
{hook}
exec sh -c "$*"
"""
#: For the stream, in place of what was to be run.
STREAM = 'case "$*" in *--stream*) exec {};; esac'


@pytest.fixture
def there(other_host: Path) -> Shell:
    """Give commands on the second host."""
    return Shell(other_host)


@dataclass(frozen=True)
class Ssh:
    """A command in place of ssh, and a folder of what it finds there."""

    command: Path
    folder: Path
    #: Gets what each call is for.
    said: Path

    def put(self, name: str, there: Shell) -> None:
        """Have `xlpy` be there under some name."""
        words = shlex.join(there.command())
        executable(self.folder / name, f'#!/bin/sh\nexec {words} "$@"\n')

    def rewrite(self, hook: str) -> None:
        """Have some shell be run first at each call, with the words to run as $*."""
        text = SSH.format(said=self.said, there=self.folder, hook=hook)
        executable(self.command, text)

    def streams(self) -> int:
        """Tell how often a stream of its own was asked for."""
        return self.said.read_text().count(" --stream ")


def executable(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(0o755)


@pytest.fixture
def host_behind(there: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ssh:
    """Have `ssh` lead to the second host, where there is an `xlpy`, and little else."""
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    for folder in (ours, theirs):
        folder.mkdir()
    made = Ssh(ours / "ssh", theirs, tmp_path / "said")
    for name in ("sh", "sleep"):
        (theirs / name).symlink_to(f"/bin/{name}")
    made.put("xlpy", there)
    made.rewrite("")
    monkeypatch.setenv("PATH", f"{ours}{os.pathsep}{os.environ['PATH']}")
    return made


@pytest.fixture
def ssh(host_behind: Ssh) -> str:
    return host_behind.command.name


def names(shell: Shell) -> list[str]:
    return [facts["name"] for facts in shell.domains()]


def test_domain_moves_and_goes_on(
    shell: Shell, there: Shell, host_behind: Ssh, ssh: str
):
    with shell.guest("web"), there.guest("other"):
        done = shell.run("migrate", "-s", ssh, "web", "target")
        assert done.returncode == 0, done.stderr
        assert done.stdout == ""
        assert "migration sender: Giving target permission to start." in done.stderr
        assert "migration target: Got permission, starting domain." in done.stderr
        assert done.stderr.endswith("Migration successful.\n")
        assert host_behind.streams() == 1
        assert names(shell) == []
        assert sorted(names(there)) == ["other", "web"]
        assert there.facts("web")["running"]
        assert there.ask("verify", domid=there.facts("web")["domid"])["match"]
        assert shell.json("jobs", "--json") == there.json("jobs", "--json") == []


@pytest.fixture
def hooks(tmp_path: Path) -> Path:
    """Give a folder for one hook, which notes when it is run and of what."""
    folder = tmp_path / "hooks"
    folder.mkdir(0o755)
    return folder


def add_hook(folder: Path, text: str) -> None:
    path = folder / "10-it"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


def receiver(there: Shell, hooks: Path) -> str:
    command = there.command("migrate-receive", "--hooks", hooks)
    return shlex.join(command)


def test_hooks_are_run_at_both_ends(
    shell: Shell, there: Shell, hooks: Path, tmp_path: Path
):
    notes = tmp_path / "notes"
    add_hook(
        hooks, f"cat >>{notes}; echo too bad >&2; case $1 in after-*) exit 1; esac"
    )
    with shell.guest("web"), there.guest("other"):
        uuid = shell.facts("web")["uuid"]
        options = ("--hooks", hooks, "-s", "", "web", receiver(there, hooks))
        done = shell.run("migrate", *options)
        assert done.returncode == 0, done.stderr
        assert there.facts("web")["running"]
        domid = there.facts("web")["domid"]
    told = [json.loads(line) for line in notes.read_text().splitlines()]
    assert {facts["uuid"] for facts in told} == {uuid}
    assert {facts["name"] for facts in told} == {"web"}
    ends = {facts["when"]: facts for facts in told}
    assert list(ends)[:2] == ["before-send", "before-receive"]
    assert set(ends) == {
        f"{when}-{side}" for when in ("before", "after") for side in ("send", "receive")
    }
    assert ends["before-receive"]["domid"] is None
    assert ends["after-receive"]["domid"] == domid
    assert ends["after-receive"]["guest"] == "running"
    assert ends["after-send"]["outcome"] == ends["after-receive"]["outcome"] == "moved"
    for when in ("after-send", "after-receive"):
        line = f"xlpy: hook {hooks}/10-it ({when}) failed: exit status 1: too bad\n"
        assert line in done.stderr


def test_hook_of_the_receiver_that_refuses_leaves_no_domain_there(
    shell: Shell, there: Shell, hooks: Path
):
    add_hook(hooks, "echo no room >&2; exit 1")
    with shell.guest("web"), there.guest("other"):
        done = shell.run("migrate", "-s", "", "web", receiver(there, hooks))
        assert done.returncode == 1
        assert (
            "(before-receive) failed: exit status 1: no room; no domain was made\n"
            in done.stderr
        )
        assert names(there) == ["other"]
        assert shell.facts("web")["running"]
        assert shell.json("jobs", "--json") == there.json("jobs", "--json") == []


def test_hook_of_the_sender_that_refuses_says_that_nothing_was_done(
    shell: Shell, there: Shell, hooks: Path, ssh: str
):
    add_hook(hooks, "exit 1")
    with shell.guest("web"):
        done = shell.run("migrate", "--hooks", hooks, "-s", ssh, "web", "target")
        assert done.returncode == 1
        line = "(before-send) failed: exit status 1; guest was not touched\n"
        assert done.stderr.endswith(line)
        assert "(after-send) failed: exit status 1" in done.stderr
        assert shell.facts("web")["running"]


def test_json_is_one_object_with_its_result(shell: Shell, there: Shell, ssh: str):
    with shell.guest("web"), there.guest("other"):
        *_, last = shell.good("migrate", "--json", "-p", "web", "target").splitlines()
        assert '"result":"migrated"' in last
        assert there.facts("web")["paused"]


@pytest.mark.usefixtures("ssh")
def test_xl_receives_where_there_is_no_xlpy(
    shell: Shell, there: Shell, host_behind: Ssh
):
    (host_behind.folder / "xlpy").unlink()
    host_behind.put("xl", there)  # which speaks the handshake of xl
    with shell.guest("web"), there.guest("other"):
        done = shell.run("migrate", "-e", "web", "target")
        assert done.returncode == 0, done.stderr
        assert host_behind.streams() == 0
        assert names(shell) == []
        assert there.facts("web")["running"]


def test_paused_domain_stays_paused(shell: Shell, there: Shell, ssh: str):
    with shell.guest("web", paused=True), there.guest("other"):
        shell.good("migrate", "-s", ssh, "web", "target")
        assert names(shell) == []
        assert sorted(names(there)) == ["other", "web"]
        assert there.facts("web")["paused"]


@pytest.mark.usefixtures("ssh")
def test_xl_is_told_that_a_domain_is_paused(
    shell: Shell, there: Shell, host_behind: Ssh
):
    (host_behind.folder / "xlpy").unlink()
    host_behind.put("xl", there)
    with shell.guest("web", paused=True), there.guest("other"):
        shell.good("migrate", "web", "target")
        assert names(shell) == []
        assert there.facts("web")["paused"]


def test_paused_domain_needs_a_command_that_leaves_it_so(shell: Shell, there: Shell):
    receive = shlex.join(there.command("migrate-receive"))
    with shell.guest("web", paused=True), there.guest("other"):
        done = shell.run("migrate", "-s", "", "web", receive)
        assert done.returncode == 1
        assert "give -p here and to the receiver" in done.stderr
        assert shell.facts("web")["paused"]
        assert names(there) == ["other"]
        shell.good("migrate", "-s", "", "-p", "web", f"{receive} -p")
        assert there.facts("web")["paused"]


def stays(shell: Shell, there: Shell, *options: str) -> list[str]:
    """Have a migration fail; give the lines that say so of both ends, ours last."""
    done = shell.run("migrate", *options, "web", "target")
    assert done.returncode == 1, done.stderr
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    assert shell.facts("web")["running"]
    assert shell.json("jobs", "--json") == there.json("jobs", "--json") == []
    lines = [line for line in done.stderr.splitlines() if line.startswith("xlpy")]
    return sorted(lines, key=lambda line: "'web' (domid" in line)


@pytest.mark.usefixtures("ssh")
def test_name_that_is_taken_there_is_refused(shell: Shell, there: Shell):
    with shell.guest("web"), there.guest("web"):
        before = shell.facts("web")
        (ours,) = stays(shell, there)  # their line would come by ssh, too
        assert "name web is taken by domain" in ours
        assert "refused: " in ours
        assert "guest was not touched" in ours
        assert shell.facts("web")["domid"] == before["domid"]
        assert not shell.facts("web")["logdirty"]
        assert len(names(there)) == 1


@pytest.mark.usefixtures("ssh")
def test_receiver_tells_what_it_has_told_if_it_is_to_tell_more(
    shell: Shell, there: Shell
):
    with shell.guest("web"), there.guest("web"):
        done = shell.run("-v", "migrate", "web", "target")
        assert done.stderr.count("xlpy: ") == 2
        assert done.stderr.count("is taken by domain") > 2


def test_receiver_tells_what_nobody_has_heard(shell: Shell, there: Shell):
    """In xl's handshake there is no word for it."""
    with shell.guest("web"), there.guest("web"):
        receive = shlex.join(there.command("migrate-receive"))
        done = shell.run("migrate", "-s", "", "web", receive)
        assert done.stderr.count("name web is taken by domain") == 1


@pytest.mark.parametrize("taken", [True, False])
def test_domid_is_kept_or_refused_if_it_is_taken_there(
    shell: Shell, there: Shell, ssh: str, taken: bool
):
    with shell.guest("web") as domid, there.guest("other", domid=domid + 1 - taken):
        done = shell.run("migrate", "-D", "-s", ssh, "web", "target")
        text = f"domid {domid}, which it is to keep, is taken by other: leave out -D"
        assert done.returncode == taken
        assert (text in done.stderr) is taken
        if taken:
            assert "refused: " in done.stderr
            assert "guest was not touched" in done.stderr
            assert not shell.facts("web")["logdirty"]
            assert names(there) == ["other"]
        else:
            assert there.facts("web")["domid"] == domid


@pytest.mark.usefixtures("ssh")
def test_refusal_is_told_to_programs(shell: Shell, there: Shell):
    with shell.guest("web"), there.guest("web"):
        done = shell.run("migrate", "--json", "web", "target")
    told = json.loads(done.stdout.splitlines()[-1])
    assert (told["result"], told["name"]) == ("failed", "web")
    assert "is taken by domain" in told["error"]


def test_receiver_prints_the_configuration_if_asked_to(shell: Shell, there: Shell):
    receiver = shlex.join(there.command("migrate-receive", "-d"))
    with shell.guest("web"):
        done = shell.run("migrate", "-s", "", "web", receiver)
    assert done.returncode == 0, done.stderr
    assert '"c_info"' in done.stderr
    assert done.stdout == ""


def test_command_that_has_more_to_do_is_given_the_time():
    async def run(more: float) -> str:
        text = f"cat >/dev/null; sleep {2 * LEAVE_WITHIN}"
        async with MigrationCommand(text) as command:
            command.leave_within += more
        return command.end

    assert asyncio.run(run(PATIENCE)) == "exit status 0"
    assert "SIGTERM" in asyncio.run(run(0))


@pytest.mark.parametrize(
    ("instead", "words"),
    [("false", "stream failed"), ("sleep 100", "no_progress")],
)
@pytest.mark.usefixtures("ssh")
def test_stream_that_does_not_arrive(
    shell: Shell, there: Shell, host_behind: Ssh, instead: str, words: str
):
    host_behind.rewrite(STREAM.format(instead))
    with shell.guest("web"), there.guest("other"):
        theirs, ours = stays(shell, there, "--no-progress", "3")
        assert words in ours
        assert "the other end has given up" in theirs
        assert names(there) == ["other"]


@pytest.mark.parametrize("name", ["nobody", "", "x" * 200, "\udcff"])
def test_stream_for_nobody(shell: Shell, name: str):
    reading, writing = os.pipe()
    try:
        line = shell.bad("migrate-receive", "--stream", name, stdin=reading)
    finally:
        os.close(reading)
        os.close(writing)
    assert "no receiver waits for this stream" in line


@pytest.mark.parametrize(
    ("arguments", "first"), [((), xl.READY), (("--control",), own.READY)]
)
def test_receiver_says_nothing_else_to_its_sender(
    shell: Shell, arguments: tuple[str, ...], first: bytes
):
    done = subprocess.run(
        shell.command("-v", "migrate-receive", *arguments),
        input=b"nonsense" * 8,
        capture_output=True,
        check=False,
        timeout=PATIENCE,
        env=environment(),
    )
    assert done.returncode == 1
    assert done.stdout.startswith(first)
    left = done.stdout.removeprefix(first)
    while left:
        (size,) = PREFIX.unpack(left[: PREFIX.size])
        own.decode(left[PREFIX.size :][:size])
        left = left[PREFIX.size + size :]


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("exit 7", "exit status 7"),
        ("echo Welcome", "Welcome"),
        ("nonsense-command", "exit status 127"),
    ],
)
def test_target_that_is_none_leaves_the_domain_untouched(
    shell: Shell, target: str, words: str
):
    with shell.guest("web"):
        line = shell.bad("migrate", "-s", "", "web", target)
        assert words in line
        assert "guest was not touched" in line
        assert shell.facts("web")["running"]


@pytest.mark.parametrize("dry_run", [(), ("--dry-run",)])
def test_how_the_command_ended_is_told_to_programs(
    shell: Shell, dry_run: tuple[str, ...]
):
    with shell.guest("web"):
        options = ("--json", *dry_run, "-s", "", "web", "exit 7")
        done = shell.run("migrate", *options)
    told = json.loads(done.stdout.splitlines()[-1])
    assert (told["result"], told["command"]) == ("failed", "exit status 7")
    assert "the command to reach it: exit status 7" in done.stderr


def cut(shell: Shell, there: Shell, at: str) -> str:
    """Have the connection cut where a text passes; give what the sender says."""
    receive = there.command("migrate-receive")
    target = shlex.join([sys.executable, str(LOSSY), at, *receive])
    line = shell.bad("migrate", "-s", "", "web", f"exec {target} 2>/dev/null")
    receivers_gone()
    return line


def receivers_gone() -> None:
    receivers = [each for each in living_descendants() if "migrate-receive" in of(each)]
    _, alive = psutil.wait_procs(receivers, timeout=PATIENCE)
    assert not alive


def of(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.NoSuchProcess:
        return []


def test_permission_that_is_lost_is_settled_for_the_source(
    shell: Shell, there: Shell, ssh: str
):
    with shell.guest("web") as domid, there.guest("other"):
        line = cut(shell, there, "go")
        assert "left suspended here: `xlpy recover --ask HOST` asks the target" in line
        assert line.endswith("say `xlpy migrate --resolve --runs here|there web`")
        assert names(shell) == ["web--migratedaway"]
        assert "web--incoming" in names(there)
        assert "--resolve" in shell.bad("save", "web--migratedaway", "/dev/null")
        assert "open" in shell.run("recover").stdout
        shell.good("migrate", "--resolve", "-s", ssh, "web", "target")
        assert names(there) == ["other"]
        assert names(shell) == ["web"]
        assert shell.facts("web")["running"]
        assert shell.ask("verify", domid=domid)["match"]
        assert shell.json("jobs", "--json") == there.json("jobs", "--json") == []


def test_report_that_is_lost_is_settled_for_the_target(
    shell: Shell, there: Shell, ssh: str
):
    with shell.guest("web"), there.guest("other"):
        cut(shell, there, "report")
        assert there.facts("web")["running"]
        shell.good("migrate", "--resolve", "-s", ssh, "web", "target")
        assert names(shell) == []
        assert there.facts("web")["running"]
        assert shell.json("jobs", "--json") == []


def test_two_that_run_are_told_and_left(shell: Shell, there: Shell, ssh: str):
    with shell.guest("web"):
        uuid = shell.facts("web")["uuid"]
        with there.guest("web", uuid=uuid):
            line = shell.bad("migrate", "--resolve", "-s", ssh, "web", "target")
            assert "it runs in two places" in line
            assert shell.facts("web")["running"]
            assert there.facts("web")["running"]


def test_host_that_does_not_answer_changes_nothing(shell: Shell, there: Shell):
    with shell.guest("web"):
        cut(shell, there, "report")
        line = shell.bad("migrate", "--resolve", "-s", "false", "web", "target")
        assert "target can't be asked" in line
        assert names(shell) == ["web--migratedaway"]
        shell.good("migrate", "--resolve", "--runs", "there", "web")
        assert names(shell) == []
        for facts in there.domains():
            there.ask("destroy", domid=facts["domid"])


@pytest.mark.parametrize(
    "arguments",
    [
        ("web",),
        ("--resolve", "web"),
        ("--resolve", "--runs", "here", "web", "target"),
        ("--runs", "here", "web", "target"),
        ("--rate", "9", "web", "target"),
        ("--dry-run", "--no-live", "web", "target"),
    ],
)
def test_usage(shell: Shell, arguments: tuple[str, ...]):
    assert "--help" in shell.bad("migrate", *arguments, status=2)


def test_receiver_says_that_it_is_for_a_sender(shell: Shell):
    line = shell.bad("migrate-receive", stdin=subprocess.DEVNULL)
    assert "stdin leads to no sender" in line


# ----- a dry run --------------------------------------------------------------------


def test_dry_run_asks_and_tells(shell: Shell, there: Shell, host_behind: Ssh, ssh: str):
    with shell.guest("web"), there.guest("other"):
        done = shell.run("migrate", "--dry-run", "-s", ssh, "web", "target")
        assert done.returncode == 0, done.stderr
        assert "dry run: web could come here" in done.stderr
        first, memory, writes, rate = done.stdout.splitlines()
        assert first.endswith(": the target takes it")
        assert memory.startswith("memory: ")
        assert "pages/s" in writes
        assert rate.startswith("at 100 MiB/s, which is assumed: see --rate: converges")
        assert host_behind.streams() == 0
        assert names(shell) == ["web"]
        assert names(there) == ["other"]
        assert not shell.facts("web")["logdirty"]
        assert shell.json("jobs", "--json") == there.json("jobs", "--json") == []


def test_dry_run_that_is_refused_says_the_same_as_a_migration(
    shell: Shell, there: Shell, ssh: str
):
    with shell.guest("web"), there.guest("web"):
        asked = shell.run("migrate", "--dry-run", "-s", ssh, "web", "target")
        tried = shell.run("migrate", "-s", ssh, "web", "target")
        assert asked.returncode == tried.returncode == 1
        assert asked.stderr == tried.stderr
        assert "is taken by domain" in asked.stderr


def test_dry_run_tells_programs(shell: Shell, there: Shell, ssh: str):
    words = ("migrate", "--dry-run", "--json", "--rate", "50", "-s", ssh)
    with shell.guest("web"), there.guest("other"):
        told = json.loads(shell.good(*words, "web", "target"))
        assert (told["result"], told["is_accepted"]) == ("possible", True)
        assert told["rate"] == 50 << 20
        with there.guest("web"):
            done = shell.run(*words, "web", "target")
    assert done.returncode == 1
    assert json.loads(done.stdout)["result"] == "failed"


def test_dry_run_to_xl_only_sees_that_it_is_there(shell: Shell, there: Shell):
    receiver = shlex.join(there.command("migrate-receive"))
    with shell.guest("web"), there.guest("other"):
        done = shell.run("migrate", "--dry-run", "-s", "", "web", receiver)
        assert done.returncode == 0, done.stderr
        assert "which speaks as xl: more it can't be asked" in done.stdout
        assert names(there) == ["other"]


# ----- a configuration in xl's text format ------------------------------------------

XL = """#!/bin/sh
[ "$1 $2 $3" = "create -q --dryrun" ] && grep -q 'name = "web"' "$4" && cat {json} &&
    exit
echo "Parsing config from $4" >&2
echo "config parsing error near line 1" >&2
exit 1
"""


@pytest.fixture
def xl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give the file of which `xl create --dryrun` makes what it prints."""
    folder, printed = tmp_path / "xl", tmp_path / "printed"
    folder.mkdir()
    (folder / "xl").write_text(XL.format(json=printed))
    (folder / "xl").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    return printed


def configuration(shell: Shell, name: str) -> bytes:
    async def ask() -> bytes:
        async with Context("simxen", shell.host) as ctx:
            return await ctx.retrieve_config(await ctx.resolve(name))

    return asyncio.run(ask())


def test_configuration_in_xl_s_format_is_read_by_xl(
    shell: Shell, there: Shell, ssh: str, xl: Path, tmp_path: Path
):
    config = tmp_path / "web.cfg"
    config.write_text('name = "web"\n')
    with shell.guest("web"):
        xl.write_bytes(configuration(shell, "web").rstrip(b"\0"))
        done = shell.run("migrate", "-C", config, "-s", ssh, "web", "target")
        assert done.returncode == 0, done.stderr
        assert names(there) == ["web"]


@pytest.mark.parametrize(
    ("text", "printed", "words"),
    [
        ("nonsense\n", "", "refuses it: config parsing error near line 1"),
        ('name = "web"\n', "{}", "none of libxl's: it has no c_info"),
        ('name = "web"\n', "hello", "can't be used"),
    ],
)
def test_configuration_that_xl_does_not_take_leaves_the_guest_untouched(
    shell: Shell, xl: Path, tmp_path: Path, text: str, printed: str, words: str
):
    config = tmp_path / "web.cfg"
    config.write_text(text)
    xl.write_text(printed)
    with shell.guest("web"):
        done = shell.run("migrate", "-C", config, "web", "target")
        assert done.returncode == 1
        assert words in done.stderr
        assert str(config) in done.stderr
        assert done.stderr.count("\n") == 1
        assert shell.facts("web")["running"]


def test_without_xl_a_configuration_must_be_json(
    shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    config = tmp_path / "web.cfg"
    config.write_text('name = "web"\n')
    monkeypatch.setenv("PATH", "/nowhere")
    with shell.guest("web"):
        done = shell.run("migrate", "-C", config, "web", "target")
    assert done.returncode == 1
    assert "here is no `xl` to read it: give JSON" in done.stderr


# ----- what can be seen here is seen before the other host is reached ----------------


@pytest.mark.usefixtures("ssh")
@pytest.mark.parametrize("dry_run", [(), ("--dry-run",)])
def test_domain_that_is_busy_reaches_no_other_host(
    shell: Shell, host_behind: Ssh, tmp_path: Path, dry_run: tuple[str, ...]
):
    with shell.guest("web") as domid:
        shell.ask("misbehave", domid=domid, fault="slow_ack", seconds=5)
        save = ("save", "-c", "--json", "web", tmp_path / "image")
        with shell.running(*save) as running:
            running.until_phase("suspend")
            line = shell.bad("migrate", *dry_run, "web", "target")
            assert "is busy: a save is under way" in line
            running.process.wait(PATIENCE)
    assert not host_behind.said.exists()


@pytest.mark.usefixtures("ssh")
def test_hooks_that_are_not_there_reach_no_other_host(shell: Shell, host_behind: Ssh):
    with shell.guest("web"):
        line = shell.bad("migrate", "--hooks", "/nosuch", "web", "target")
        assert "hook /nosuch (before-send) failed: No such file" in line
    assert not host_behind.said.exists()


def test_dry_run_with_a_command_of_one_s_own_tells_no_failure(
    shell: Shell, there: Shell
):
    """It speaks as xl, to which our leave is a failure of its sender's."""
    with shell.guest("web"), there.guest("other"):
        receive = shlex.join(there.command("migrate-receive"))
        done = shell.run("migrate", "--dry-run", "-s", "", "web", receive)
        assert done.returncode == 0
        assert "a receiver is there, which speaks as xl" in done.stdout
        assert done.stderr.splitlines() == [
            "migration target: Ready to receive domain."
        ]
