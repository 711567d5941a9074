"""The binding of libxenlight and the monitor's decisions, on a fake libxenlight."""

import json
import os
import subprocess
import sys
import uuid as uuids
from collections.abc import Iterator
from pathlib import Path

import pytest

from libxlpy_helper.builder import monitor
from libxlpy_helper.builder.launcher import save_helper_path
from libxlpy_helper.builder.options import BuildOptions, parse_build_options
from libxlpy_helper.options import OptionsError
from libxlpy_helper.xen.xenlight import LogLine, parse_log
from tests.integration.helper.builder.fake import Fake
from tests.support.simxen_host import Simxen

# -- building --------------------------------------------------------------------------


def test_restore_and_boot_take_what_they_need(fake: Fake) -> None:
    assert fake.run("restore", "good") == ["domid 9"]
    assert fake.run("new", "good") == ["domid 9"]
    assert fake.run("remus", "good") == ["domid 9"]
    assert fake.calls() == ["restore 0 good", "new 0 good", "remus 0 good"]
    assert (fake.folder / "calls").read_text().count("dispose 0 good") == 3


def test_bad_configuration_reaches_no_domain(fake: Fake) -> None:
    [line] = fake.run("restore", "wrong")
    assert line == "error the domain could not be built: invalid argument (rc -6)"
    assert fake.calls() == []


def test_domain_left_by_a_failure_is_destroyed(fake: Fake) -> None:
    [line] = fake.run("restore", "fail")
    assert line == "error the domain could not be built: failed (rc -3)"
    assert fake.calls() == ["restore 0 fail", "destroy 9"]


def test_no_domain_is_not_destroyed(fake: Fake) -> None:
    fake.run("restore", "fail none")
    assert fake.calls() == ["restore 0 fail none"]


def test_log_comes_from_children_too_and_never_waits(fake: Fake) -> None:
    lines = fake.run("restore", "log")
    assert lines[0] == "domid 9"
    assert "log 8 -1 libxl said by 1 9" in lines
    assert "log 7 -1 libxl said by a child 15" in lines
    assert not any("not worth it" in line for line in lines)
    assert f"log 8 -1 libxl {'x' * 20} 2047" in lines
    assert len(lines) < 1000


@pytest.mark.parametrize("cut", [0, 3, 11, 12])
def test_cut_log_line_is_no_line(cut: int) -> None:
    whole = b"\x13\0\0\0\x08\0\0\0\xff\xff\xff\xffxl\0hi!\0"
    assert parse_log(whole) == [LogLine(8, -1, "xl", "hi!")]
    assert parse_log(whole[:cut]) == []


# -- the monitor -----------------------------------------------------------------------

CONFIG = {
    "c_info": {"name": "web/1", "uuid": "1"},
    "on_poweroff": "destroy",
    "on_reboot": "restart",
    "on_crash": "preserve",
}


def monitored(fake: Fake, events: str, **changes: str) -> list[str]:
    (fake.folder / "events").write_text(events)
    config = json.dumps(CONFIG | changes)
    lines = fake.run("monitor", config)
    assert lines == []
    return [line.replace(config, "CONFIG") for line in fake.calls()]


def test_poweroff_destroys(fake: Fake) -> None:
    assert monitored(fake, "9 1 0\n") == ["watch 9", "destroy 9"]


def test_death_by_another_hand_needs_nothing(fake: Fake) -> None:
    assert monitored(fake, "9 2 0\n") == ["watch 9"]


def test_events_of_other_domains_are_passed_over(fake: Fake) -> None:
    assert monitored(fake, "8 1 0\n9 2 0\n") == ["watch 9"]


def test_preserve_leaves_it(fake: Fake) -> None:
    assert monitored(fake, "9 1 3\n") == ["watch 9"]


def test_reboot_restarts_and_the_new_one_is_watched(fake: Fake) -> None:
    calls = monitored(fake, "9 1 1\n9 1 0\n")
    assert [line.split()[0] for line in calls] == [
        *("watch", "destroy", "new", "unpause"),
        *("watch", "destroy"),
    ]


def test_suspended_domain_that_runs_again_is_watched_again(fake: Fake) -> None:
    calls = monitored(fake, "9 1 2\n9 1 0\n")
    assert calls == ["watch 9", "watch 9", "destroy 9"]


def test_core_dump_comes_first(fake: Fake) -> None:
    calls = monitored(fake, "9 1 3\n", on_crash="coredump-destroy")
    assert calls == ["watch 9", "dump 9 /var/lib/xen/dump/web_1", "destroy 9"]


def test_rename_restart_keeps_the_old_one(fake: Fake) -> None:
    calls = monitored(fake, "9 1 3\n9 2 0\n", on_crash="rename-restart")
    assert calls[:2] == ["watch 9", "rename-from 9 web/1"]
    assert calls[2].startswith("rename-to 9 web/1-")
    assert not any(line.startswith("destroy") for line in calls)


@pytest.fixture
def renamed(fake: Fake, simxen: Simxen) -> Fake:
    """Domain 9 is called web/1 no more."""
    simxen.create("pv", domid=9, name="web-2")
    fake.xenstore = str(simxen.directory / "xenstored.sock")
    return fake


def test_renamed_domain_restarts_by_its_new_name(renamed: Fake) -> None:
    calls = monitored(renamed, "9 1 1\n9 2 0\n")
    [new] = [line for line in calls if line.startswith("new")]
    created = {"name": "web-2", "uuid": "1"}
    assert new.startswith(f'new 0 {{"c_info": {json.dumps(created)}')


def test_renamed_domain_is_kept_under_its_new_name(renamed: Fake) -> None:
    calls = monitored(renamed, "9 1 3\n9 2 0\n", on_crash="rename-restart")
    assert calls[1] == "rename-from 9 web-2"
    assert calls[2].startswith("rename-to 9 web-2-")
    assert calls[3].startswith('new 0 {"c_info": {"name": "web-2"')


def test_renamed_domain_is_dumped_by_its_new_name(renamed: Fake) -> None:
    calls = monitored(renamed, "9 1 3\n", on_crash="coredump-destroy")
    assert calls[1:] == ["dump 9 /var/lib/xen/dump/web-2", "destroy 9"]


def test_unknown_action_destroys(fake: Fake) -> None:
    assert monitored(fake, "9 1 3\n", on_crash="sing")[-1] == "destroy 9"


def test_new_one_that_cant_run_is_removed(fake: Fake) -> None:
    (fake.folder / "can't run").touch()
    (fake.folder / "events").write_text("9 1 1\n")
    assert fake.run("monitor", json.dumps(CONFIG)) == ["error unpause: failed (rc -3)"]
    calls = [line.split()[0] for line in fake.calls()]
    assert calls == ["watch", "destroy", "new", "unpause", "destroy"]


def test_monitor_gets_none_of_our_descriptors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program, seen = tmp_path / "program", tmp_path / "seen"
    program.write_text(f"#!/bin/sh\nls -l /proc/self/fd >{seen}\n")
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(program))
    reading, writing = os.pipe()
    os.set_inheritable(writing, True)  # as the stream is, for the save helper
    monitor.start(9, b"{}", "/dev/null/xenstored")
    _, status = os.waitpid(-1, 0)
    assert status == 0
    assert "libxlpy-config" in seen.read_text()
    assert f"pipe:[{os.fstat(writing).st_ino}]" not in seen.read_text()
    os.close(reading)
    os.close(writing)


# -- starting --------------------------------------------------------------------------


def test_options_of_a_build() -> None:
    got = parse_build_options(["--parent", "5", "--config-fd", "7", "--paused"])
    assert got == BuildOptions(parent=5, config_fd=7, paused=True)
    uuid = uuids.uuid4()
    got = parse_build_options(["--parent", "5", "--destroy", "3", "--uuid", str(uuid)])
    assert got == BuildOptions(parent=5, destroy=3, uuid=uuid.bytes)


@pytest.mark.parametrize(
    ("argv", "text"),
    [
        (["--config-fd", "7"], "--parent is missing"),
        (["--parent", "5"], "one of --config-fd and --destroy"),
        (["--parent", "5", "--destroy", "1", "--config-fd", "7"], "one of"),
        (["--parent", "5", "--destroy", "1"], "--destroy and --uuid go together"),
        (["--parent", "5", "--uuid", "b"], "--uuid 'b' is no uuid"),
        (["--parent", "x"], "--parent 'x' is no number"),
        (["--parent"], "--parent '' is no number"),
        (["--parent", "5", "--parent", "5"], "--parent given twice"),
        (["--song"], "unknown option '--song'"),
    ],
)
def test_bad_options_are_refused(argv: list[str], text: str) -> None:
    with pytest.raises(OptionsError, match=text):
        parse_build_options(argv)


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    """A pipe; whatever was opened since is closed afterwards."""
    before = open_now()
    yield os.pipe()
    for fd in open_now() - before:
        os.close(fd)


def open_now() -> set[int]:
    listed = list(Path("/proc/self/fd").iterdir())
    return {int(path.name) for path in listed if path.is_symlink()}


def run_save_helper(source: int) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [save_helper_path(source), "--save-domain"],
        capture_output=True,
        text=True,
        check=False,
        close_fds=False,
        env={"PYTHONINSPECT": "1"},
    )


def test_save_helper_is_a_program_that_needs_no_file(pipe: tuple[int, int]) -> None:
    done = run_save_helper(pipe[0])
    assert done.returncode == 2
    assert done.stderr == "libxlpy-save-helper: --save-domain: 0 arguments, not 6\n"


def test_only_the_save_helper_gets_the_stream(pipe: tuple[int, int]) -> None:
    """Qemu, which is started after it, would hold it for as long as it runs."""
    read_fd, write_fd = pipe
    os.set_inheritable(read_fd, True)
    run_save_helper(read_fd)
    with subprocess.Popen(["sleep", "60"], close_fds=False) as other:
        try:
            os.close(read_fd)
            with pytest.raises(BrokenPipeError):
                os.write(write_fd, b"anybody?")
        finally:
            other.kill()
