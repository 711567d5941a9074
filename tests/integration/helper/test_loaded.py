"""What each program of the helper's package loads, to the module, and when.

It starts anew for every job, and most of that is loading. A module that is to be loaded
besides, or earlier, goes into one of these lists, with what it costs in mind: see
"Start of a helper" in docs/performance.md.
"""

import sys
from pathlib import Path

import pytest

from libxlpy_protocol.enums import Image, Mode, Op
from libxlpy_protocol.messages import Complete, Suspend
from tests.integration.helper.dropin import driver
from tests.integration.helper.dropin.driver import LibxlParent, save_argv
from tests.support import helper_driver
from tests.support.helper_driver import FakeHost

TELLING = Path(__file__).with_name("telling_loaded.py")


def modules(package: str, text: str) -> frozenset[str]:
    return frozenset({package, *(f"{package}.{name}" for name in text.split())})


def words(text: str) -> frozenset[str]:
    return frozenset(text.split())


#: Of Python's own. No ``typing``, and so no ``re``; no ``socket``, ``json``, ``runpy``.
AT_HELLO = words("__future__ errno faulthandler fcntl")
THEN = AT_HELLO | words(
    """collections contextlib datetime enum functools itertools keyword math operator
    reprlib resource select signal struct threading types"""
)
if sys.version_info >= (3, 12):
    THEN |= words("collections.abc warnings")  # by collections and by threading

HELLO = modules(
    "libxlpy_helper",
    """__main__ begun _xenguest _xenguest.lib harden options startup xen
    xen.event_channel xen.from_c xen.library xen.xenguest""",
) | modules("libxlpy_protocol", "errors hello sizes value")
HYPERCALLS = (
    HELLO
    | modules(
        "libxlpy_helper",
        """abort channel control control_loop domain_ops exit_status guest helper line
        outbox own_files parent_wire parts silence stats suspend_channel wire""",
    )
    | modules(
        "libxlpy_protocol",
        """codec enums fields framing ledger messages receiver session states table
        xen""",
    )
)
JOB = modules("libxlpy_helper", "callbacks operation own_files stream") | modules(
    "libxlpy_protocol", "stream stream.libxl"
)
SAVE = JOB | modules("libxlpy_helper", "peers peers.xenstore repair save")
SAVE |= modules("libxlpy_protocol", "xenstore_wire")
DROP_IN = (
    HYPERCALLS
    - modules("libxlpy_helper", "__main__ begun control helper parent_wire")
    - modules("libxlpy_helper", "silence suspend_channel")
    - modules("libxlpy_protocol", "codec framing session states")
    | modules("libxlpy_helper", "dropin dropin.control dropin.options dropin.process")
    | modules("libxlpy_helper", "dropin.wire")
    | modules("libxlpy_protocol", "libxl libxl.session libxl.table libxl.wire")
)


def loaded(host: FakeHost, name: str) -> tuple[frozenset[str], frozenset[str]]:
    """Give our modules, and the public ones of others."""
    names = frozenset((host.directory / name).read_text().split())
    ours = frozenset(name for name in names if name.startswith("libxlpy"))
    others = frozenset(name for name in names - ours if not _is_inner(name))
    return ours, others


def _is_inner(name: str) -> bool:
    """Tell what belongs to another module: which, depends on the release of that."""
    private = name.startswith("_") and name != "__future__"
    return private or name.startswith(("msgpack.", "cython"))


@pytest.fixture
def telling(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the programs tell."""

    def helper_python(module: str) -> list[str]:
        python, isolated, no_site, _launch, *rest = real(module)
        return [python, isolated, no_site, str(TELLING), *rest]

    real = helper_driver.helper_python
    monkeypatch.setattr(helper_driver, "helper_python", helper_python)
    monkeypatch.setattr(driver, "ON_FAKE", TELLING)


@pytest.mark.usefixtures("telling")
def test_helper_up_to_hello_and_for_hypercalls(host: FakeHost) -> None:
    with host.helper() as parent:
        parent.greet()
        parent.start(Mode.OPS, calls=())
        assert parent.op(Op.PAUSE, 7).retval == 0
        parent.hang_up()
        assert parent.wait() == 0
    ours, others = loaded(host, "loaded-first")
    assert ours == HELLO
    assert others <= AT_HELLO
    ours, others = loaded(host, "loaded")
    assert ours == HYPERCALLS
    assert others <= THEN | {"msgpack"}


@pytest.mark.usefixtures("telling")
def test_helper_that_saves(host: FakeHost, stream_fd: int) -> None:
    host.script("suspend")
    with host.helper([stream_fd]) as parent:
        parent.greet()
        parent.start(domid=7, stream_fd=stream_fd, image=Image.LIBXL)
        parent.answer(Suspend, 1)
        assert parent.expect(Complete) == Complete(0, 0, False)
        assert parent.wait() == 0
    ours, others = loaded(host, "loaded")
    assert ours == HYPERCALLS | SAVE
    assert others <= THEN | {"msgpack"}


@pytest.mark.usefixtures("telling")
def test_drop_in_that_saves(host: FakeHost, stream_fd: int) -> None:
    host.script("suspend")
    with LibxlParent(host, save_argv(stream_fd), [stream_fd]) as parent:
        parent.answer(Suspend(), 1)
        assert parent.finish() == Complete(0, 0, False)
    ours, others = loaded(host, "loaded")
    assert ours == DROP_IN | SAVE
    assert others <= THEN
