"""Saved and restored domains are the same, page for page; the guest ends as told."""

import json
import subprocess
from pathlib import Path

import pytest

from libxlpy.streams import read_xl_header
from tests.support.shell import Shell


@pytest.mark.parametrize("type", ["pv", "pvh", "hvm"])
@pytest.mark.parametrize("live", [[], ["--live"]], ids=["plain", "live"])
def test_what_was_saved_is_restored(
    shell: Shell, tmp_path: Path, type: str, live: list[str]
) -> None:
    image = tmp_path / "image"
    with shell.guest("web", type=type):
        before = shell.facts("web")
        shell.good("save", *live, "web", image)
        assert shell.facts("web") == {}
        assert shell.json("verify", "--json", image)["name"] == "web"
        shell.good("restore", image)
        after = shell.facts("web")
        assert after["guest_id"] == before["guest_id"]
        assert after["counter"] >= before["counter"]
        assert after["restored_count"] == 1
        assert shell.json("sim", "verify", "--json", "web")["match"]
        assert shell.json("list", "--json", "web")[0]["type"] == type
    assert list(tmp_path.iterdir()) == [image]


def test_c_leaves_the_domain_running(shell: Shell, tmp_path: Path) -> None:
    with shell.guest("web") as domid:
        done = shell.run("save", "-c", "--live", "web", tmp_path / "image")
        assert done.returncode == 0
        assert done.stdout == ""
        assert done.stderr.splitlines()[-1].endswith("guest is running")
        facts = shell.facts("web")
        assert (facts["domid"], facts["running"]) == (domid, True)
        assert not facts["logdirty"]


def test_p_leaves_the_domain_paused(shell: Shell, tmp_path: Path) -> None:
    with shell.guest("web"):
        shell.good("save", "-p", "web", tmp_path / "image")
        assert shell.facts("web")["paused"]
        assert not shell.facts("web")["shutdown"]
        shell.good("restore", "-p", "--name", "copy", tmp_path / "image")
        assert shell.facts("copy")["paused"]


@pytest.mark.parametrize("option", ["-c", "-p"])
def test_paused_domain_is_paused_again(
    shell: Shell, tmp_path: Path, option: str
) -> None:
    with shell.guest("web", paused=True) as domid:
        done = shell.run("save", option, "--live", "web", tmp_path / "image")
        assert done.returncode == 0
        assert done.stderr.splitlines()[-1].endswith("guest is paused")
        assert shell.facts("web")["paused"]
        shell.good("save", "web", tmp_path / "image")
        assert shell.facts("web") == {}
        shell.good("restore", "-p", tmp_path / "image")
        assert shell.facts("web")["paused"]
        assert shell.facts("web")["domid"] != domid


def test_capital_d_stores_the_domid(shell: Shell, tmp_path: Path) -> None:
    with shell.guest("web") as domid:
        shell.good("save", "-c", "-D", "web", tmp_path / "image")
        with (tmp_path / "image").open("rb") as file:
            config = read_xl_header(file.fileno()).config
        assert config is not None
        assert json.loads(config)["c_info"]["domid"] == domid


@pytest.mark.parametrize(
    ("text", "is_json"),
    [
        ('{"c_info": {"name": "new"}, "b_info": {}}', True),
        ('name = "new"\n', False),
    ],
)
def test_another_configuration_is_stored_as_it_is(
    shell: Shell, tmp_path: Path, text: str, is_json: bool
) -> None:
    (tmp_path / "config").write_text(text)
    with shell.guest("web"):
        shell.good("save", "-c", "web", tmp_path / "image", tmp_path / "config")
    with (tmp_path / "image").open("rb") as file:
        header = read_xl_header(file.fileno())
    assert header.config == text.encode()
    assert header.config_is_json == is_json
    assert (
        shell.json("verify", "--json", tmp_path / "image")["config_is_json"] == is_json
    )
    line = shell.bad("restore", tmp_path / "image")
    way_out = f"; give another one: xlpy restore CONFIG {tmp_path / 'image'}"
    assert line.startswith(f"xlpy: {tmp_path / 'image'}: configuration can't be used: ")
    assert line.endswith(way_out)


def test_json_events_end_with_the_result(shell: Shell, tmp_path: Path) -> None:
    with shell.guest("web") as domid:
        output = shell.good("save", "--json", "-c", "web", tmp_path / "image")
        *events, result = [json.loads(line) for line in output.splitlines()]
        assert events[0]["event"] == "started"
        assert events[0]["helper_pid"] > 0
        assert {event["event"] for event in events} >= {"started", "phase", "log"}
        assert result["result"] == "saved"
        assert (result["domid"], result["guest"]) == (domid, "running")
        assert result["bytes_written"] > 16 << 20
        figures = result["statistics"]
        assert result["downtime_ns"] == round(figures["downtime"] * 1e6)
        at = dict(result["timeline"])  # the guest was resumed after all of that
        assert figures["downtime"] > (at["done"] - at["suspended"]) * 1000
        assert figures["transferred"] == result["bytes_written"]
        assert figures["callbacks"]["suspend"]["count"] == 1


@pytest.mark.parametrize("type", ["pv", "hvm"])
def test_a_restore_keeps_the_uuid_and_a_copy_gets_another(
    shell: Shell, tmp_path: Path, type: str
) -> None:
    with shell.guest("web", type=type):
        before = shell.facts("web")["uuid"]
        shell.good("save", "web", tmp_path / "image")
        shell.good("restore", tmp_path / "image")
        assert shell.facts("web")["uuid"] == before
        shell.good("restore", "--name", "copy", tmp_path / "image")
        assert shell.facts("copy")["uuid"] != before


@pytest.mark.parametrize("type", ["pv", "hvm"])
def test_all_bytes_of_a_pipe_are_counted(
    shell: Shell, tmp_path: Path, type: str
) -> None:
    image = tmp_path / "image"
    with shell.guest("web", type=type):
        shell.good("save", "web", image)
        with subprocess.Popen(["cat", image], stdout=subprocess.PIPE) as cat:
            done = shell.run("restore", "--json", "/dev/stdin", stdin=cat.stdout)
        assert done.returncode == 0, done.stderr
        result = json.loads(done.stdout.splitlines()[-1])
        assert result["bytes_read"] == image.stat().st_size


def test_domains_are_listed_as_xl_does(shell: Shell) -> None:
    with shell.guest("web", vcpus=2) as domid:
        head, row = shell.good("list").splitlines()
        assert head.split() == ["Name", "ID", "Mem", "VCPUs", "State", "Time(s)"]
        name, number, memory, vcpus, state, _ = row.split()
        assert (name, number, memory, vcpus) == ("web", str(domid), "16", "2")
        assert state == "r-----"
        assert row.index("r-----") == 63
        assert shell.good("list", "web").splitlines()[1].split()[0] == "web"
        assert shell.good("list", domid).splitlines()[1].split()[0] == "web"


def test_configurations_are_listed_as_xl_does(shell: Shell) -> None:
    with shell.guest("web") as web, shell.guest("db") as db:
        text = shell.good("list", "-l")
        listed = {each["domid"]: each["config"] for each in json.loads(text)}
        names = {domid: each["c_info"]["name"] for domid, each in listed.items()}
        assert names == {int(web): "web", int(db): "db"}
        # xendomains finds domains by these lines.
        assert text.splitlines().count("    {") == 2
        assert f'        "domid": {web},' in text.splitlines()
        [only] = shell.json("list", "-l", "db")
        assert only["config"]["c_info"]["name"] == "db"


def test_a_guest_can_be_saved_to_a_pipe(shell: Shell, tmp_path: Path) -> None:
    with (
        shell.guest("web"),
        (tmp_path / "image").open("wb") as copy,
        shell.running("save", "-c", "web", "/dev/stdout") as save,
    ):
        assert save.process.stdout is not None
        while chunk := save.process.stdout.read(65536):
            copy.write(chunk)
        save.process.communicate()
        assert save.process.returncode == 0
    assert shell.json("verify", "--json", tmp_path / "image")["valid"]


def test_starting_twice_says_so(shell: Shell) -> None:
    done = shell.run("sim", "start")
    assert done.returncode == 0
    assert done.stdout == f"{shell.host}\n"
    assert done.stderr == f"a simxen host already runs in {shell.host}\n"
