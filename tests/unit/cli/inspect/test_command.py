"""`xlpy inspect` on files made here: tables, JSON, records, pictures, damage."""

import json
import os
import sys

import pytest

from libxlpy.cli.main import main
from libxlpy_protocol.stream.formats import PageType
from tests.support import stream_samples as samples
from tests.support.other_user import OTHER
from tests.unit.cli.inspect.files import entry, hvm_file, pages


@pytest.fixture
def file(tmp_path):
    """Give a writer of files; it returns their path."""

    def write(data: bytes):
        path = tmp_path / "guest.img"
        path.write_bytes(data)
        return path

    return write


@pytest.fixture
def xlpy(capsys):
    """Give a runner of commands: status, stdout, stderr."""

    def run(*arguments):
        status = main([str(each) for each in arguments])
        return status, *capsys.readouterr()

    return run


def test_text_is_aligned_and_tells_all(file, xlpy):
    memory = [pages(*range(5), entry(9, PageType.XTAB)), pages(1, 2)]
    status, out, err = xlpy("inspect", file(hvm_file(memory)))
    assert (status, err) == (0, "")
    for line in (
        "  name           sample",
        "  xl flags      mandatory JSON | STREAM_V2, optional none",
        "  libxc image   version 3",
        "  domain        HVM or PVH, saved by Xen 4.20",
        "  NOTAB           5  20.0 KiB           2        7",
        "  XTAB            1   4.0 KiB           0        1",
        "  highest frame         0x9, at 36.0 KiB",
        "  sent again            2 frames, 2 times in all",
        "  frames by times sent  1 x: 3, 2 x: 2",
        "  STORE_PFN    0x2",
        "  emulator          qemu (id 2)",
        "  state             300 bytes",
    ):
        assert line in out.splitlines()


def test_json_is_one_line_with_the_same(file, xlpy):
    path = file(samples.PV_FILE)
    status, out, _ = xlpy("inspect", "--json", path)
    facts = json.loads(out)
    assert (status, out.count("\n")) == (0, 1)
    assert facts["complete"] is True
    assert facts["bytes"] == len(samples.PV_FILE)
    assert facts["config"]["name"] == "sample"
    assert facts["libxc"]["p2m_frames"] == 6
    assert facts["memory"]["pages"] == 5
    assert facts["memory"]["page_bytes"] == 5 * 4096
    total = facts["memory"]["page_bytes"] + facts["memory"]["other_bytes"]
    assert total == facts["bytes"]
    assert facts["xl"]["mandatory_flag_names"] == ["JSON", "STREAM_V2"]


def test_records_are_listed_with_offsets(file, xlpy):
    path = file(samples.PV_FILE)
    _, out, _ = xlpy("inspect", "--records", path)
    _, text, _ = xlpy("inspect", "--records", "--json", path)
    records = json.loads(text)["records"]
    assert records[0]["offset"] == 83 + 16
    assert [r["name"] for r in records].count("PAGE_DATA") == 2
    for record in records:
        assert samples.PV_FILE[record["offset"]] == record["type"]
    listed = out.split("\n\n")[0].splitlines()[1:]
    offsets = [int(line.split()[0].replace(",", "")) for line in listed]
    assert offsets == [record["offset"] for record in records]


def test_config_is_printed_whole(file, xlpy):
    path = file(samples.PV_FILE)
    _, out, _ = xlpy("inspect", "--config", path)
    assert json.loads(out.split("\nConfiguration\n")[1]) == json.loads(samples.CONFIG)
    _, out, _ = xlpy("inspect", "--config", "--json", path)
    assert json.loads(out)["whole_config"] == json.loads(samples.CONFIG)


def test_config_in_words_of_xl(file, xlpy):
    stream = samples.libxl_stream(samples.pv_image())
    path = file(samples.xl_file(stream, b'name = "a"\n  # \x1b[31mred', flags=2))
    status, out, _ = xlpy("inspect", "--config", path)
    assert status == 0
    assert "  configuration  xl's text format, 23 bytes" in out.splitlines()
    assert out.endswith('Configuration\n  name = "a"\n    # \\x1b[31mred\n')


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        (b"[" * 99999 + b"\0", "it is nested deeper than 64 levels"),
        (b"no json\0", "it is not JSON: line 1, column 1"),
        (b'{"c_info":{"domid":1e999}}\0', "a number in it is too large"),
    ],
)
def test_config_that_is_no_json_is_damage(file, xlpy, config, reason):
    path = file(hvm_file([pages(1)], config))
    status, out, err = xlpy("inspect", path)
    assert status == 1
    assert "qemu" in out
    assert err == f"xlpy: {path}: xl configuration at offset 0: {reason}\n"


@pytest.mark.parametrize(
    "config", [b"{}", b"[]", b"7", b'{"c_info": 1, "b_info": {"max_memkb": "x"}}']
)
def test_config_of_other_shape_says_little(file, xlpy, config):
    status, out, _ = xlpy(
        "inspect", "--json", file(hvm_file([pages(1)], config + b"\0"))
    )
    facts = json.loads(out)["config"]
    assert status == 0
    assert (facts["name"], facts["memory_kib"]) == (None, None)


def test_names_can_not_drive_the_terminal(file, xlpy):
    config = b'{"c_info": {"name": "\\u001b]0;x\\u0007\\n\\u202e"}}\0'
    _, out, _ = xlpy("inspect", file(hvm_file([pages(1)], config)))
    assert "\\x1b]0;x\\x07 \\xe2\\x80\\xae" in out
    assert "\x1b" not in out


@pytest.mark.parametrize("options", [[], ["--records"], ["--config"]])
def test_damaged_file_is_told_up_to_the_damage(file, xlpy, options):
    data = samples.HVM_FILE
    path = file(data[: data.index(b"context")])
    status, out, err = xlpy("inspect", *options, path)
    assert status == 1
    at = data.index(samples.HVM_CONTEXT)
    where = f"at offset {at}: the stream ends inside it, at offset {at + 8}"
    assert err == f"xlpy: {path}: HVM_CONTEXT record {where}\n"
    assert "  pages sent            7" in out.splitlines()
    assert "everything else" not in out


def test_damaged_file_in_json(file, xlpy):
    status, out, err = xlpy("inspect", "--json", "--records", file(b"no save file"))
    facts = json.loads(out)
    assert status == 1
    assert facts["records"] == []
    assert facts["complete"] is False
    assert facts["error"]["piece"] == "xl header"
    assert facts["xl"] is facts["libxc"] is facts["emulator"] is None
    assert len(err.splitlines()) == 1


@pytest.mark.parametrize(
    ("suffix", "magic"),
    [(".svg", b"<svg "), (".png", b"\x89PNG"), (".PNG", b"\x89PNG")],
)
def test_plot_is_drawn(file, xlpy, tmp_path, suffix, magic):
    picture = tmp_path / f"map{suffix}"
    status, _, err = xlpy("inspect", "--plot", picture, file(samples.PV_FILE))
    assert (status, err) == (0, "")
    assert picture.read_bytes().startswith(magic)


def test_plot_of_a_damaged_file_shows_what_there_is(file, xlpy, tmp_path):
    picture = tmp_path / "map.svg"
    data = samples.PV_FILE
    path = file(data[: data.index(samples.TSC)])
    status, _, err = xlpy("inspect", "--plot", picture, path)
    assert (status, len(err.splitlines())) == (1, 1)
    assert b"guest.img (damaged)" in picture.read_bytes()


def test_plot_of_nothing_leaves_no_picture(file, xlpy, tmp_path):
    picture = tmp_path / "map.svg"
    status, _, err = xlpy("inspect", "--plot", picture, file(b"no save file"))
    assert (status, len(err.splitlines())) == (1, 1)
    assert not picture.exists()


def test_plot_elsewhere_than_svg_or_png_is_wrong_usage(file, xlpy):
    status, out, err = xlpy("inspect", "--plot", "map.gif", file(samples.PV_FILE))
    assert (status, out) == (2, "")
    assert "ends in neither .svg nor .png" in err


def test_plot_never_goes_over_the_file_itself(xlpy, tmp_path):
    path = tmp_path / "guest.svg"
    path.write_bytes(samples.PV_FILE)
    status, out, err = xlpy("inspect", "--plot", path, path)
    assert (status, out) == (1, "")
    assert "draw into another" in err
    assert path.read_bytes() == samples.PV_FILE


def test_png_without_pillow_says_what_to_install(file, xlpy, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "PIL", None)  # as if it were not installed
    picture = tmp_path / "map.png"
    status, out, err = xlpy("inspect", "--plot", picture, file(samples.PV_FILE))
    assert (status, out) == (1, "")
    assert err.startswith("xlpy: a PNG needs Pillow")
    assert 'pip install "libxlpy[plot]"' in err
    assert len(err.splitlines()) == 1


def test_missing_file_is_named(xlpy, tmp_path):
    status, _, err = xlpy("inspect", tmp_path / "none")
    assert status == 1
    assert err == f"xlpy: {tmp_path / 'none'}: No such file or directory\n"


def test_plot_follows_no_link_of_another_user(file, xlpy, tmp_path):
    tmp_path.chmod(0o777)
    precious, link = tmp_path / "precious", tmp_path / "map.svg"
    precious.write_bytes(b"precious")
    link.symlink_to(precious)
    os.chown(link, OTHER, OTHER, follow_symlinks=False)
    status, _, err = xlpy("inspect", "--plot", link, file(samples.PV_FILE))
    assert status == 1
    assert "is a link that user nobody has put there" in err
    assert precious.read_bytes() == b"precious"
    os.chown(link, 0, 0, follow_symlinks=False)
    assert xlpy("inspect", "--plot", link, file(samples.PV_FILE))[0] == 0
    assert precious.read_bytes().startswith(b"<svg")
