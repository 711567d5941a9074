"""argv of the helper: what libxlpy passes is taken, everything else refused."""

import pytest

from libxlpy_helper.options import Options, OptionsError, parse_options

XEN = ["--parent", "12", "--backend", "xen"]
SIMXEN = ["--parent", "12", "--backend", "simxen", "--host", "/run/h"]


def test_xen() -> None:
    assert parse_options(XEN) == Options(12, "xen", "", "")


def test_simxen_with_and_without_a_library() -> None:
    assert parse_options(SIMXEN) == Options(12, "simxen", "/run/h", "")
    with_library = parse_options([*SIMXEN, "--library", "/x.so"])
    assert with_library == Options(12, "simxen", "/run/h", "/x.so")


@pytest.mark.parametrize(
    ("argv", "text"),
    [
        ([], "--parent is missing"),
        (["--parent", "12"], "--backend is missing"),
        (["--backend", "xen"], "--parent is missing"),
        ([*XEN, "--parent", "13"], "--parent given twice"),
        ([*XEN, "--verbose"], "unknown option '--verbose'"),
        ([*XEN, "word"], "unknown option 'word'"),
        ([*XEN, "--host"], "--host needs a value"),
        ([*XEN, "--host", ""], "--host needs a value"),
        ([*XEN, "--host", "/run/h"], "--host is for --backend simxen only"),
        ([*XEN, "--library", "/x.so"], "--library is for --backend simxen only"),
        (SIMXEN[:4], "--backend simxen needs --host"),
        (["--parent", "0", "--backend", "xen"], "--parent '0' is no process id"),
        (["--parent", "-1", "--backend", "xen"], "--parent '-1' is no process id"),
        (["--parent", "1²", "--backend", "xen"], "--parent '1²' is no process id"),
        (["--parent", "1", "--backend", "Xen"], "'Xen' is not one of xen, simxen"),
    ],
)
def test_everything_else_is_refused(argv: list[str], text: str) -> None:
    with pytest.raises(OptionsError, match="^.*" + text.replace("[", r"\[") + "$"):
        parse_options(argv)
