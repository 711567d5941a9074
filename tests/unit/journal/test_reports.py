"""The folder of reports: bounded in size and number, and nobody else's."""

import os

import pytest

from libxlpy.errors import BackendError, UsageError
from libxlpy.journal.reports import KEPT, SIZE_MAX, CrashReports


@pytest.fixture
def reports(tmp_path):
    return CrashReports(tmp_path / "reports")


def write(reports, number):
    path = reports.write(f"save-{number}-0a0b0c", f"number {number}\n")
    os.utime(path, ns=(number, number))
    return path


def test_oldest_are_removed(reports):
    half = reports.path / "save-0-0a0b0c.txt.new"
    reports.path.mkdir(mode=0o700)
    half.touch()  # of a process that died
    os.utime(half, ns=(0, 0))
    paths = [write(reports, number) for number in range(1, KEPT + 4)]
    assert sorted(reports.path.iterdir()) == sorted(paths[-KEPT:])


def test_size_is_bounded(reports):
    reports.write("save-1-0a0b0c", "x" * (2 * SIZE_MAX))
    text = reports.read("save-1-0a0b0c")
    assert len(text) == SIZE_MAX
    assert text.endswith("\n... cut: the report was longer\n")


def test_any_text_can_be_written(reports):
    reports.write("save-1-0a0b0c", "a\udcffb\n")
    assert reports.read("save-1-0a0b0c") == "a\\xffb\n"


def test_none_there(reports):
    with pytest.raises(UsageError, match="no report of job web: there are none"):
        reports.read("web")
    assert not reports.path.exists()


@pytest.mark.parametrize("job", ["../reports/save-1-0a0b0c", "", "a" * 65, "a\0b", "."])
def test_what_is_no_job_reads_nothing(reports, job):
    write(reports, 1)
    with pytest.raises(UsageError, match="the newest are save-1-0a0b0c"):
        reports.read(job)


def test_link_is_not_followed(reports, tmp_path):
    write(reports, 1)
    (tmp_path / "secret").touch()
    (reports.path / "save-2-0a0b0c.txt").symlink_to(tmp_path / "secret")
    with pytest.raises(BackendError, match=r"can't read .*save-2-0a0b0c.txt"):
        reports.read("save-2-0a0b0c")


def test_folder_open_to_others_is_refused(reports):
    reports.path.mkdir()
    reports.path.chmod(0o755)
    with pytest.raises(BackendError, match="chmod 0700"):
        reports.write("save-1-0a0b0c", "")


def test_clear_leaves_what_is_not_ours(reports):
    write(reports, 1)
    other = reports.path / "README"
    other.touch()
    reports.clear()
    assert list(reports.path.iterdir()) == [other]
    other.unlink()
    reports.clear()
    assert not reports.path.exists()
