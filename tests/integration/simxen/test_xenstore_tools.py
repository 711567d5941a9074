"""Debian's own xenstore tools against our store (package xenstore-utils)."""

import shutil
import subprocess

import pytest


@pytest.fixture
def tool(host):
    """Run a xenstore tool against the host; gives its output."""

    def run(name, *arguments, status=0):
        path = shutil.which(f"xenstore-{name}", path="/usr/bin:/usr/sbin:/bin:/sbin")
        assert path, "install xenstore-utils"
        done = subprocess.run(
            [path, *arguments],
            env={"XENSTORED_PATH": str(host.directory / "xenstored.sock")},
            capture_output=True,
            text=True,
            timeout=20,
        )
        assert done.returncode == status, done.stderr
        return done.stdout

    return run


def test_write_read_list_exists_rm(tool):
    tool("write", "/tool/a", "one", "/tool/b", "two words")
    assert tool("read", "/tool/a", "/tool/b") == "one\ntwo words\n"
    assert tool("list", "/tool") == "a\nb\n"
    tool("exists", "/tool/a")
    tool("rm", "/tool/a")
    tool("exists", "/tool/a", status=1)
    tool("read", "/tool/a", status=1)


def test_ls_shows_the_whole_tree_with_permissions(host, tool):
    domid = host.create()
    lines = tool("ls", "-f", "-p").splitlines()
    facts = {line.split(" = ")[0]: line.split(" = ")[1] for line in lines}
    home = f"/local/domain/{domid}"
    assert facts[f"{home}/name"].startswith('"guest"')
    assert facts[f"{home}/name"].endswith(f"(n0,r{domid})")
    assert facts[f"{home}/control/shutdown"].endswith(f"(n{domid})")


def test_ls_of_more_children_than_fit_a_packet(host, tool):
    store = host.xenstore
    names = [f"a-rather-long-name-of-a-child-{n:04}" for n in range(500)]
    for name in names:
        store.write(f"/many/{name}", "")
    assert tool("list", "/many").split() == names


def test_chmod_sets_permissions(tool):
    tool("write", "/tool/a", "1")
    tool("chmod", "/tool/a", "n0", "r3", "b4")
    assert "(n0,r3,b4)" in tool("ls", "-p", "/tool")


def test_watch_prints_what_changes(host, tool):
    store = host.xenstore
    path = shutil.which("xenstore-watch", path="/usr/bin:/usr/sbin:/bin:/sbin")
    process = subprocess.Popen(
        [path, "-n", "3", "/watched"],
        env={"XENSTORED_PATH": str(host.directory / "xenstored.sock")},
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdout.readline() == "/watched\n"
        store.write("/watched/below", "1")
        store.write("/elsewhere", "1")
        store.write("/watched", "2")
        assert process.stdout.read() == "/watched/below\n/watched\n"
    assert process.returncode == 0
