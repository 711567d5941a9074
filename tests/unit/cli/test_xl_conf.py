"""What `xl.conf` says of dom0's memory."""

from pathlib import Path

import pytest

from libxlpy.cli import xl_conf
from libxlpy.cli.terminal.output import Output

COMMENTED = '# autoballoon="off"\n'


@pytest.fixture
def conf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(xl_conf, "XL_CONF", tmp_path / "xl.conf")
    return tmp_path / "xl.conf"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('autoballoon="on"\n', "on"),
        ("autoballoon='off'", "off"),
        (" autoballoon = 1 # why not\n", "on"),
        ("autoballoon=0;lockfile=1\n", "off"),
        (f'{COMMENTED}autoballoon="auto"\nvif.default.bridge="b"\n', "auto"),
        (COMMENTED, "auto"),
        ('autoballoon="off"\nautoballoon="on"\n', "on"),
        ("", "auto"),
    ],
)
def test_it_is_as_xl_reads_it(
    conf: Path, capsys: pytest.CaptureFixture[str], text: str, says: str
) -> None:
    conf.write_text(text)
    assert xl_conf.autoballoon(Output()) == says
    assert not capsys.readouterr().err


def test_without_one_it_is_auto(conf: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert xl_conf.autoballoon(Output()) == "auto"
    assert not capsys.readouterr().err


def test_what_can_not_be_used_is_told_and_auto(
    conf: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    conf.write_text('autoballoon="yes"\n')
    assert xl_conf.autoballoon(Output()) == "auto"
    [line] = capsys.readouterr().err.splitlines()
    assert "autoballoon is 'yes', none of on, 1, off, 0, auto: taken for auto" in line
    conf.unlink()
    conf.mkdir()
    assert xl_conf.autoballoon(Output()) == "auto"
    assert "Is a directory" in capsys.readouterr().err
