"""Who lives is proved by a lock that nobody inherits and each namespace sees."""

import os
import subprocess
import sys
import threading

import pytest

from libxlpy.journal.life import Life, lives

HOLD = """
import sys
from pathlib import Path
from libxlpy.journal.life import Life, lives
path = Path(sys.argv[1])
life = Life(path)
assert lives(path)
print(flush=True)
input()
"""


@pytest.fixture
def path(tmp_path):
    return tmp_path / "7.life"


def other(path, *before):
    """Start a process that holds a life until it is told to end."""
    process = subprocess.Popen(
        [*before, sys.executable, "-c", HOLD, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    process.stdout.readline()
    return process


def test_it_is_held_until_it_is_closed(path):
    life = Life(path)
    assert lives(path)
    assert lives(path), "looking at it has ended it"
    assert seen_from_outside(path)
    life.close()
    life.close()
    assert not lives(path)
    assert not seen_from_outside(path)


def seen_from_outside(path):
    code = (
        "import sys; from pathlib import Path; from libxlpy.journal.life import lives; "
        "sys.exit(lives(Path(sys.argv[1])))"
    )
    return bool(subprocess.run([sys.executable, "-c", code, str(path)]).returncode)


def test_another_process_holds_it_until_it_is_killed(path):
    with other(path) as process:
        assert lives(path)
        process.kill()
        process.wait()
        assert not lives(path)


def test_it_is_seen_from_outside_a_pid_namespace(path):
    user = [] if os.geteuid() == 0 else ["--user"]
    with other(path, "unshare", *user, "--pid", "--fork", "--kill-child") as process:
        assert lives(path)
        process.kill()
        process.wait()


def test_a_child_that_was_forked_does_not_have_it(path):
    life = Life(path)
    read, write = os.pipe()
    child = os.fork()
    if not child:
        os.close(write)
        os.read(read, 1)
        os._exit(0)
    try:
        life.close()
        assert not lives(path)
    finally:
        os.close(write)
        os.close(read)
        os.waitpid(child, 0)


def test_a_child_sees_its_parent_live_and_takes_nothing_with_it(path):
    life = Life(path)
    child = os.fork()
    if not child:
        seen = lives(path)
        life.close()
        os._exit(not seen)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert seen_from_outside(path)
    life.close()


def test_a_new_one_is_not_ended_with_the_old_one_of_its_name(path):
    old = Life(path)
    new = Life(path)
    old.close()
    assert lives(path)
    assert seen_from_outside(path)
    new.close()


def test_no_file_and_what_is_no_file_are_no_life(path):
    assert not lives(path)
    os.mkfifo(path)
    assert not lives(path)
    path.unlink()
    path.symlink_to(__file__)
    with pytest.raises(OSError, match="symbolic"):
        lives(path)


def test_many_threads_that_look_do_not_end_it(path):
    life = Life(path)
    threads = [threading.Thread(target=lives, args=(path,)) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen_from_outside(path)
    life.close()
