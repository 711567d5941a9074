"""`--report`: a page however it ends, and never in the way of the guest."""

import shlex
from pathlib import Path

from tests.support.shell import PATIENCE, Shell


def test_live_save_has_a_page(shell: Shell, tmp_path: Path):
    path = tmp_path / "web.html"
    path.write_text("older")
    with shell.guest("web") as domid:
        image = tmp_path / "image"
        shell.good("save", "-c", "--live", "--report", path, "web", image)
        uuid = shell.facts("web")["uuid"]
    page = path.read_text()
    for piece in (
        f"web (domid {domid}), pv",
        uuid,
        ">saved<",
        "<h2>Dirty pages (logarithmic)</h2>",
        "<h2>Passes over memory</h2>",
        "<h2>Downtime by parts</h2>",
        "<td>running</td>",
        f"<td>{image}</td>",
    ):
        assert piece in page
    assert page.endswith("</html>\n")
    assert {each.name for each in tmp_path.iterdir()} == {"web.html", "image"}


def test_migration_has_a_page_and_one_that_fails_too(shell: Shell, tmp_path: Path):
    path = tmp_path / "web.html"
    there = Shell(tmp_path / "there")
    there.good("sim", "start")
    receive = shlex.join(there.command("migrate-receive"))
    migrate = ("migrate", "-s", "", "--report", path, "web")
    try:
        with shell.guest("web", type="hvm") as domid:
            shell.ask("misbehave", domid=domid, fault="slow_ack", seconds=3)
            done = shell.run(*migrate, receive, "--timeout", "2")
            assert done.returncode == 1
            page = path.read_text()
            assert ">failed<" in page
            assert "guest is running" in page
            assert "<h2>What was found and repaired</h2>" in page
            shell.good(*migrate, receive)
            page = path.read_text()
            assert ">moved<" in page
            assert "hand over</td>" in page
    finally:
        there.good("sim", "stop")


def test_page_that_can_t_be_written_is_refused_before_anything(
    shell: Shell, tmp_path: Path
):
    with shell.guest("web"):
        image = tmp_path / "image"
        for command in (("save", "web", image), ("migrate", "web", "nowhere")):
            name, *rest = command
            line = shell.bad(name, "--report", tmp_path / "no" / "a.html", *rest)
            reason = f"can't be written: folder {tmp_path}/no does not exist"
            assert line.endswith(reason)
        line = shell.bad("save", "--report", "/proc/self/a.html", "web", image)
        assert line.endswith(
            "report /proc/self/a.html can't be written: no file can be made in "
            "/proc/self; name another folder"
        )
        line = shell.bad("save", "--report", image, "web", image)
        assert "the domain goes there; name another file" in line
        assert list(tmp_path.iterdir()) == []
        assert shell.facts("web")["running"]


def test_page_that_can_t_be_written_any_more_is_told(shell: Shell, tmp_path: Path):
    path = tmp_path / "web.html"
    with shell.guest("web") as domid:
        shell.ask("misbehave", domid=domid, fault="slow_ack", seconds=1)
        options = ("-c", "--json", "--report", path)
        with shell.running("save", *options, "web", tmp_path / "image") as save:
            save.until_phase("suspend")
            path.mkdir()
            _, errors = save.process.communicate(timeout=PATIENCE)
        assert save.process.returncode == 0
        text = f"report {path} can't be written: it is no regular file"
        assert errors.decode() == f"xlpy: {text}; name another one\n"
        assert shell.facts("web")["running"]
