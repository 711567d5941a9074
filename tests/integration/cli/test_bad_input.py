"""Bad input: one line that names the thing, a status, the guest running, no remains."""

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.shell import (
    PATIENCE,
    XLPY,
    Shell,
    environment,
    failure_line,
    private_mounts,
)

#: xlpy with all it needs loaded, as a user without any right.
STRANGER = """
import os, sys
import libxlpy, libxlpy.cli.app, libxlpy.cli.command, libxlpy.cli.save
import libxlpy.cli.main, libxlpy.cli.list, libxlpy.cli.sim, encodings.idna
if os.geteuid() == 0:
    os.setgroups([]); os.setgid(65534); os.setuid(65534)
sys.exit(libxlpy.cli.main.main(sys.argv[1:]))
"""


#: xlpy on a disk that takes files but not the directory they are in.
TIRED_DISK = """
import errno, os, stat, sys
import libxlpy.cli.main
real = os.fsync
def fsync(fd):
    if stat.S_ISDIR(os.fstat(fd).st_mode):
        raise OSError(errno.EIO, os.strerror(errno.EIO))
    real(fd)
os.fsync = fsync
sys.exit(libxlpy.cli.main.main(sys.argv[1:]))
"""


def unharmed(shell: Shell, name: str = "web") -> bool:
    facts = shell.facts(name)
    return facts["running"] and not facts["logdirty"] and not facts["shutdown"]


Arguments = Callable[[Path], list[object]]
BAD_SAVES: dict[str, tuple[Arguments, str]] = {
    "unknown name": (lambda p: ["nobody", p / "image"], "no such domain: nobody"),
    "unknown domid": (lambda p: [4711, p / "image"], "no such domain: 4711"),
    "missing directory": (
        lambda p: ["web", p / "missing" / "image"],
        "missing does not exist; create it first",
    ),
    "file as directory": (lambda p: ["web", p / "file" / "image"], "Not a directory"),
    "directory": (lambda p: ["web", p], "it is a directory; name a file in it"),
    "not writable": (
        lambda p: ["web", "/sys/kernel/image"],
        "Permission denied; run as a user who may write there",
    ),
    "full": (lambda p: ["web", "/dev/full"], "No space left on device"),
    "missing configuration": (
        lambda p: ["web", p / "image", p / "missing"],
        "can't read configuration",
    ),
    "binary configuration": (
        lambda p: ["web", p / "image", "/dev/zero"],
        "is larger than",
    ),
    "empty configuration": (lambda p: ["web", p / "image", p / "file"], "is empty"),
}


@pytest.mark.parametrize("case", BAD_SAVES)
def test_a_save_that_can_not_begin_changes_nothing(
    shell: Shell, tmp_path: Path, case: str
) -> None:
    (tmp_path / "file").touch()
    arguments, reason = BAD_SAVES[case]
    with shell.guest("web"):
        assert reason in shell.bad("save", *arguments(tmp_path))
        assert unharmed(shell)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def in_small_disk(folder: Path, options: str, command: list[str]) -> list[str]:
    """Give a command that runs with a tmpfs of its own, gone with the process."""
    return private_mounts(f'mount -t tmpfs -o {options} tmpfs "$1"', folder, command)


@pytest.mark.parametrize("live", [[], ["--live"]], ids=["plain", "live"])
def test_a_disk_that_fills_up_leaves_the_guest_running(
    shell: Shell, tmp_path: Path, live: list[str]
) -> None:
    save = shell.command("save", *live, "web", tmp_path / "image")
    with shell.guest("web"):
        done = subprocess.run(
            in_small_disk(tmp_path, "size=8m", save),
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE,
            env=environment(),
        )
        line = failure_line(done.returncode, done.stderr, 1)
        assert "save of 'web' (domid" in line
        assert "No space left on device" in line
        assert line.endswith(f"guest is running; {tmp_path}/image not written")
        assert unharmed(shell)


def test_a_read_only_disk_is_named(shell: Shell, tmp_path: Path) -> None:
    save = shell.command("save", "web", tmp_path / "image")
    with shell.guest("web"):
        done = subprocess.run(
            in_small_disk(tmp_path, "ro", save),
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE,
            env=environment(),
        )
        line = failure_line(done.returncode, done.stderr, 1)
        assert "Read-only file system" in line
        assert unharmed(shell)


@pytest.mark.parametrize("command", [["list"], ["sim", "list"], ["save", "web", "f"]])
def test_no_permission_is_named(shell: Shell, command: list[str]) -> None:
    mode = shell.host.stat().st_mode
    if os.geteuid() != 0:
        shell.host.chmod(0)
    try:
        done = subprocess.run(
            [sys.executable, "-c", STRANGER, "--host", str(shell.host), *command],
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE,
            env=environment(),
        )
    finally:
        shell.host.chmod(mode)
    line = failure_line(done.returncode, done.stderr, 1)
    assert "permission" in line
    assert str(shell.host) in line


def test_an_old_file_stays_when_a_save_fails(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "image").write_bytes(b"old")
    with shell.guest("web") as domid:
        shell.ask("misbehave", domid=domid, fault="crash")
        shell.bad("save", "web", tmp_path / "image")
    assert (tmp_path / "image").read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["image"]


def test_a_directory_that_is_not_on_the_disk_keeps_the_guest(
    shell: Shell, tmp_path: Path
) -> None:
    image = tmp_path / "image"
    save = ["--host", str(shell.host), "save", "web", str(image)]
    with shell.guest("web"):
        done = subprocess.run(
            [sys.executable, "-c", TIRED_DISK, *save],
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE,
            env=environment(),
        )
        line = failure_line(done.returncode, done.stderr, 1)
        told = f"{image} is whole, but its directory may not be on the disk"
        assert line.endswith(f"failed: {told}: Input/output error; guest is running")
        assert unharmed(shell)
    assert shell.json("verify", "--json", image)["valid"]


@pytest.mark.parametrize("command", ["verify", "restore"])
def test_files_that_can_not_be_read_are_named(
    shell: Shell, tmp_path: Path, command: str
) -> None:
    missing = tmp_path / "missing"
    assert shell.bad(command, missing) == f"xlpy: {missing}: No such file or directory"
    told = f"xlpy: {tmp_path} is a directory; name a file in it"
    assert shell.bad(command, tmp_path) == told


def test_a_name_that_is_taken_is_refused(shell: Shell, tmp_path: Path) -> None:
    with shell.guest("web"):
        shell.good("save", "-c", "web", tmp_path / "image")
        line = shell.bad("restore", tmp_path / "image")
        assert "name 'web' is taken by domain" in line
        assert line.endswith("call it otherwise by --name NAME, or destroy that one")
        assert len(shell.domains()) == 1


def test_a_name_that_was_given_is_what_is_refused(shell: Shell, tmp_path: Path) -> None:
    image, option = tmp_path / "image", "--name"
    with shell.guest("web"), shell.guest("other") as other:
        shell.good("save", "-c", "web", image)
        line = shell.bad("restore", option, "other", image)
        text = f"name 'other' is taken by domain {other}: give another one by --name"
        assert line == f"xlpy: {text} NAME, or destroy that domain"
        for name in ("", "a/b", "12"):
            line = shell.bad("restore", option, name, image)
            assert line.startswith("xlpy: name must be letters, digits and _.+- ")
            assert line.endswith(f"not '{name}'")
        assert len(shell.domains()) == 2


def test_a_configuration_without_domain_is_refused(
    shell: Shell, tmp_path: Path
) -> None:
    (tmp_path / "config").write_text('name = "text"\n')
    with shell.guest("web"):
        shell.good("save", "-c", "web", tmp_path / "image", tmp_path / "config")
        assert "configuration" in shell.bad("restore", tmp_path / "image")
        assert len(shell.domains()) == 1


def test_a_backend_that_is_not_there_is_named(shell: Shell, tmp_path: Path) -> None:
    other = Shell(tmp_path / "other")
    for command in (["list"], ["save", "web", "f"], ["sim", "list"], ["sim", "stop"]):
        line = other.bad(*command)
        assert line.endswith(f"`xlpy --host {tmp_path}/other sim start`")


def test_xen_is_refused_where_there_is_none() -> None:
    command = [sys.executable, "-m", "libxlpy.cli", "--backend", "xen", "list"]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env=environment()
    )
    line = failure_line(done.returncode, done.stderr, 1)
    assert "dom0" in line


def test_xen_has_no_sim(shell: Shell) -> None:
    line = shell.bad("--backend", "xen", "sim", "list")
    assert line == "xlpy: `xlpy sim` is about simxen: leave out --backend xen"


@pytest.mark.parametrize(
    "command",
    [
        ["save", "web"],
        ["save"],
        ["save", "a", "b", "c", "d"],
        ["save", "--frob", "a", "b"],
        ["restore"],
        ["restore", "a", "b", "c"],
        ["frob"],
        ["--backend", "kvm", "list"],
        ["sim", "create"],
        ["sim", "create", "x", "--rate", "fast"],
        ["sim", "create", "x", "--memory", "0"],
    ],
)
def test_wrong_usage_is_status_2(shell: Shell, command: list[str]) -> None:
    assert "--help" in shell.bad(*command, status=2)


@pytest.mark.parametrize(
    "options", [["--memory", "3"], ["--pattern", "hot"], ["--no-pv-drivers"]]
)
def test_a_domain_that_can_not_be_is_refused(shell: Shell, options: list[str]) -> None:
    shell.bad("sim", "create", "web", *options)
    assert shell.facts("web") == {}


def test_a_name_is_in_quotes_that_are_closed(shell: Shell, tmp_path: Path) -> None:
    line = shell.bad("sim", "create", "x" * 99)
    assert re.search(r"not 'x+\.\.\.x+'$", line)
    told = "xlpy: no such domain: '5 '"
    assert shell.bad("save", "5 ", tmp_path / "image") == told
    assert shell.bad("sim", "destroy", "5 ").startswith(f"{told} (see")


def test_nobody_reading_stdout_is_no_traceback(shell: Shell) -> None:
    bash = ["bash", "-o", "pipefail", "-c"]
    with shell.guest("web"):
        for redirection in (">&-", "| true", ">/dev/full"):
            done = subprocess.run(
                [*bash, f'"$@" {redirection}', "bash", *shell.command("list")],
                capture_output=True,
                text=True,
                check=False,
                timeout=PATIENCE,
                env=environment(),
            )
            assert "Traceback" not in done.stderr
            assert done.stderr.count("\n") <= 1
            if redirection != "| true":  # whether the pipe breaks in time is chance
                assert done.returncode == 1
                assert done.stderr.startswith("xlpy: can't write to stdout: ")


@pytest.mark.parametrize("command", ["--help", "--version", "list --help"])
def test_help_that_nobody_can_read_says_why(command: str) -> None:
    done = subprocess.run(
        ["bash", "-c", '"$@" >/dev/full', "bash", *XLPY, *command.split()],
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
        env=environment(),
    )
    reason = "can't write to stdout: No space left on device"
    assert (done.returncode, done.stderr) == (1, f"xlpy: {reason}\n")


def test_nobody_reading_stdout_does_not_end_a_save(
    shell: Shell, tmp_path: Path
) -> None:
    with shell.guest("web"):
        save = shell.command("save", "--json", "-c", "web", tmp_path / "image")
        for redirection in (">&-", ">/dev/full", "2>&- >&-", "<&- 2>&- >&-"):
            done = subprocess.run(
                ["bash", "-c", f'"$@" {redirection}', "bash", *save],
                capture_output=True,
                text=True,
                check=False,
                timeout=PATIENCE,
                env=environment(),
            )
            assert (done.returncode, done.stderr) == (0, "")
            assert shell.json("verify", "--json", tmp_path / "image")["valid"]
        assert unharmed(shell)


@pytest.mark.parametrize("command", ["verify", "inspect", "restore"])
def test_a_folder_is_no_saved_domain(
    shell: Shell, tmp_path: Path, command: str
) -> None:
    line = shell.bad(command, tmp_path)
    assert line == f"xlpy: {tmp_path} is a directory; name a file in it"


@pytest.mark.parametrize("command", [["list"], ["save"], ["sim", "destroy"]])
def test_a_number_without_end_is_no_domain(
    shell: Shell, tmp_path: Path, command: list[str]
) -> None:
    file = [tmp_path / "file"] if command == ["save"] else []
    line = shell.bad(*command, "9" * 5000, *file)
    assert line.startswith("xlpy: no such domain: 9999")
    assert len(line) < 200


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_a_stdout_that_is_not_utf_8_is_written_to(
    shell: Shell, tmp_path: Path, encoding: str
) -> None:
    path = tmp_path / "\u03a9.save"
    with shell.guest("web", memory_mib=4):
        shell.good("save", "-c", "web", path)
    for command in ("verify", "inspect"):
        done = subprocess.run(
            shell.command(command, path),
            capture_output=True,
            check=False,
            timeout=PATIENCE,
            env={**environment(), "PYTHONIOENCODING": encoding},
        )
        assert done.returncode == 0, done.stderr
        assert rb"\xce\xa9.save" in done.stdout


@pytest.mark.parametrize("before", [{}, {"PYTHONIOENCODING": "ascii"}])
@pytest.mark.parametrize("locale", ["C", "C.UTF-8"])
def test_a_name_is_told_as_shells_take_it_in_whatever_locale(
    shell: Shell, tmp_path: Path, locale: str, before: dict[str, str]
) -> None:
    """Whatever is told of it: a failure, wrong usage, how to go on."""
    name = "gr\xf6\xdfe"
    text = before or locale == "C"
    plain = {"LC_ALL": locale, "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", **before}
    other = Shell(tmp_path / f"{name}.host")
    for command, status in (
        (shell.command("verify", tmp_path / name), 1),
        (shell.command("restore", tmp_path / name), 1),
        (other.command("list"), 1),
        (other.command("sim", "stop"), 1),
        (shell.command(name), 2),
        (shell.command("verify", f"--{name}"), 2),
    ):
        done = subprocess.run(
            command,
            capture_output=True,
            check=False,
            timeout=PATIENCE,
            env={**environment(), **plain},
        )
        line = failure_line(done.returncode, done.stderr.decode(), status)
        assert (r"gr\xc3\xb6\xc3\x9fe" if text else name) in line


def test_a_host_whose_folder_is_no_text_is_named(tmp_path: Path) -> None:
    other = Shell(Path(f"{tmp_path}/h\udcff") / ("x" * 99))
    assert r"h\xff/xxx" in other.bad("sim", "start")
