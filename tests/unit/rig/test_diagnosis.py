"""The report of a failed test in dom0: all that answers, and no failure of its own."""

from pathlib import Path

import pytest

from tests.xen import diagnosis

XL = """#!/bin/sh
case $1 in
list) echo "Name ID Mem"; echo "Domain-0 0 1536"; echo "web 7 128" ;;
dmesg) echo "the hypervisor's last word" ;;
vcpu-list) echo "vcpu of domain $2" ;;
esac
"""


def written(folder: Path, text: str) -> None:
    program = folder / "xl"
    program.write_text(text)
    program.chmod(0o755)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only folder in which programs are found."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(diagnosis, "QEMU_LOGS", tmp_path)
    return tmp_path


def test_guests_and_their_device_models_are_told(folder: Path) -> None:
    written(folder, XL)
    (folder / "qemu-dm-web.log").write_text("qemu's last word\n")
    told = dict(diagnosis.diagnosis())
    assert told["hypervisor's log"] == "the hypervisor's last word"
    assert told["processor of web"].count("vcpu of domain 7") == diagnosis.LOOKS
    assert told["device model of web"] == "qemu's last word"
    assert not any("Domain-0" in title for title in told)


def test_what_is_missing_is_said(folder: Path) -> None:
    del folder  # no xl in it
    assert "No such file" in dict(diagnosis.diagnosis())["hypervisor's log"]


def test_what_hangs_is_said(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written(folder, "#!/bin/sh\nexec /bin/sleep 60\n")
    monkeypatch.setattr(diagnosis, "LIMIT", 0.1)
    assert "timed out" in dict(diagnosis.diagnosis())["hypervisor's log"]
