"""A real image, cut anywhere: never verified, never restored, nothing left of it."""

from pathlib import Path

import pytest

from libxlpy.streams import Format, RecordRead, StreamParser, StreamRuleBroken
from tests.support.shell import Shell
from tests.support.victim import Victim

#: Cuts tried with real commands.
RESTORES = 8


@pytest.fixture(scope="module", params=["pv", "hvm"])
def image(
    shell: Shell,
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    path = tmp_path_factory.mktemp("truncation") / "image"
    with shell.guest("small", type=request.param, memory_mib=4):
        shell.good("save", "small", path)
    return path


def structural_offsets(data: bytes) -> list[int]:
    """Give where pieces begin, where their bodies begin and end, and one byte off."""
    offsets = {0, len(data)}
    for event in StreamParser(Format.XL).feed(data):
        head = 8 if isinstance(event, RecordRead) else 0
        end = event.offset + head + event.length
        offsets |= {event.offset, event.offset + head, end, -(-end // 8) * 8}
    near = {offset + off for offset in offsets for off in (-1, 0, 1)}
    return sorted(offset for offset in near if 0 <= offset < len(data))


def test_every_cut_is_found(image: Path) -> None:
    data = image.read_bytes()
    cuts = structural_offsets(data) + list(range(0, len(data), 104_729))
    parser = StreamParser(Format.XL)
    for cut in sorted(set(cuts)):
        parser.feed(data[parser.offset : cut])
        assert not parser.finished
        short = StreamParser(Format.XL)
        short.feed(memoryview(data)[:cut])
        with pytest.raises(StreamRuleBroken, match="the stream ends"):
            short.close()
    parser.feed(data[parser.offset :])
    parser.close()


@pytest.mark.parametrize("part", range(RESTORES))
def test_no_cut_is_verified_or_restored(
    shell: Shell, image: Path, tmp_path: Path, part: int
) -> None:
    data = image.read_bytes()
    cuts = structural_offsets(data)
    cut = cuts[(len(cuts) - 1) * part // (RESTORES - 1)]  # the last byte included
    (tmp_path / "cut").write_bytes(data[:cut])
    with shell.guest("other", memory_mib=4, type="hvm") as domid:
        for command in ("verify", "restore"):
            line = shell.bad(command, tmp_path / "cut")
            assert f"{tmp_path}/cut" in line
        assert [facts["domid"] for facts in shell.domains()] == [domid]
        Victim(shell.host, domid, "hvm").assert_unharmed("beside it")
        assert shell.ask("verify", domid=domid)["match"]
    assert (tmp_path / "cut").read_bytes() == data[:cut]
