"""Small parts: what goes in is checked, what comes out is told in one line."""

import asyncio
import errno
import json
import os
import socket
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

import libxlpy
from libxlpy import backend, configuration, errors
from libxlpy.callbacks import NAMES, SaveCallbacks, offered
from libxlpy.deadlines import Deadlines
from libxlpy.domain_info import (
    DYING,
    PAUSED,
    RUNNING,
    SHUT_DOWN,
    DomainFacts,
    guest_state,
)
from libxlpy.emulator import checked_pairs
from libxlpy.events import MAX_BEHIND, EventFeed, PhaseEvent
from libxlpy.files import SaveFile
from libxlpy.link import PACKAGE, last_line
from libxlpy.results import GuestState, ImageState, JobReport
from libxlpy.stream_fd import StreamFd
from libxlpy.suspend_flags import SuspendFlags, xc_flags
from libxlpy.verdict import failure_of
from libxlpy_protocol.errors import LibxlpyError
from libxlpy_protocol.messages import Complete, OpResult

ROOT = Path(__file__).resolve().parents[3]


def test_version_in_the_hello_is_that_of_the_package():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["version"] == PACKAGE


def test_import_leaves_nothing_behind():
    assert {*libxlpy.__all__} <= {*dir(libxlpy)}


def test_public_names_are_capitalised():
    """So that ``from libxlpy import a_module`` need not load them all to find out."""
    assert [name for name in libxlpy.__all__ if not name[0].isupper()] == []


@pytest.mark.parametrize("first", ["libxl", "context", "errors", "files", "streams.xl"])
def test_any_module_may_be_the_first_that_is_imported(first: str):
    argv = [sys.executable, "-c", f"import libxlpy.{first}"]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


# ----- errors -------------------------------------------------------------------------

OUTCOMES = [
    errors.Cancelled("by\nhand"),
    errors.TimedOut("hello", 1.5),
    errors.HelperCrashed(signal=9),
    errors.HelperCrashed(status=3, hint="no library"),
    errors.HelperCrashed(),
    errors.ProtocolViolation("bad frame", b"\0"),
    errors.CallbackFailed("suspend", ValueError()),
    errors.CallbackFailed("suspend", None, 0),
    errors.StreamError(errno.ENOSPC),
    errors.XenError(-1, errno.EINVAL, "Failed\nto map"),
    errors.GuestTimedOut("no answer"),
    errors.GuestFailed("crash"),
    errors.ParentLost("gone"),
]


@pytest.mark.parametrize("error", OUTCOMES, ids=map(str, range(len(OUTCOMES))))
def test_every_outcome_is_one_line_and_a_full_report(error: errors.JobError):
    error.details = JobReport(
        "save of domain 7",
        7,
        GuestState.RUNNING,
        ImageState.PARTIAL,
        ("log-dirty mode off",),
        log_lines=("error: xc: x",),
        stderr_tail="a\nb",
    )
    assert isinstance(error, LibxlpyError)
    assert "\n" not in str(error)
    assert str(error).startswith("save of domain 7: ")
    assert str(error).endswith("(guest running)")
    lines = error.report().splitlines()
    for line in ("repair: log-dirty mode off", "log: error: xc: x", "stderr: b"):
        assert line in lines


def test_all_outcomes_are_in_the_drawn_tree():
    assert errors.__doc__ is not None
    for name in dir(errors):
        value = getattr(errors, name)
        if isinstance(value, type) and value.__module__ == errors.__name__:
            assert f"+- {name} " in errors.__doc__ + " "


@pytest.mark.parametrize(
    ("complete", "kind"),
    [
        (Complete(-1, errno.ENOSPC, False), errors.StreamError),
        (Complete(-1, errno.EPIPE, False), errors.StreamError),
        (Complete(-1, errno.EINVAL, False), errors.XenError),
        (Complete(0, 0, True), errors.Cancelled),
    ],
)
def test_verdict_of_the_helper_is_read_by_its_errno(
    complete: Complete, kind: type[errors.JobError]
):
    assert type(failure_of(complete, "")) is kind


# ----- inputs -------------------------------------------------------------------------


@pytest.mark.parametrize("value", [0, -1, float("nan"), None, "5", True])
def test_deadline_that_is_no_bound_is_refused(value: Any):
    with pytest.raises(errors.UsageError, match="hello must be a positive number"):
        Deadlines(hello=value)
    with pytest.raises(errors.UsageError, match="of callback suspend"):
        Deadlines(per_callback={"suspend": value})


def test_only_two_deadlines_may_be_none_and_only_callbacks_have_their_own():
    endless = Deadlines(total=None, no_progress=None)
    assert (endless.total, endless.no_progress) == (None, None)
    with pytest.raises(errors.UsageError, match="no callback 'suspends'"):
        Deadlines(per_callback={"suspends": 1.0})


def test_flags_are_translated_one_by_one():
    assert int(xc_flags(SuspendFlags.LIVE)) == 1
    assert int(xc_flags(SuspendFlags.DEBUG)) == 2
    with pytest.raises(errors.UsageError):
        xc_flags(SuspendFlags(4))


def test_only_given_callbacks_are_offered():
    async def suspend() -> int:
        return 1

    kinds = offered(SaveCallbacks(suspend=suspend))
    assert [NAMES[kind] for kind in kinds] == ["suspend"]


@pytest.mark.parametrize(
    ("data", "pairs"),
    [
        (b"", []),
        (b"physmap/0/size\x0010\0", [(b"physmap/0/size", b"10")]),
        (b"a\0\0b\0c\0", [(b"a", b""), (b"b", b"c")]),
    ],
)
def test_emulator_nodes_are_cut_into_pairs(data: bytes, pairs: list[object]):
    assert checked_pairs(data) == pairs


@pytest.mark.parametrize(
    "data",
    [
        b"no end",
        b"odd\0",
        b"/absolute\0v\0",
        b"../../../tool\0v\0",
        b"a/../b\0v\0",
        b"a/./b\0v\0",
        b"a//b\0v\0",
        b"\0v\0",
        b"sp ace\0v\0",
        b"a" * 300 + b"\0v\0",
        b"k\0" + b"v" * 5000 + b"\0",
    ],
)
def test_emulator_nodes_that_could_harm_are_refused(data: bytes):
    with pytest.raises(errors.XenstoreError):
        checked_pairs(data)


def test_configuration_travels_whole():
    config = {
        "c_info": {"name": "web", "type": "hvm"},
        "b_info": {"max_memkb": 8193, "max_vcpus": 2},
        "simxen": {"free": 1},
    }
    fields = configuration.domain_fields(json.dumps(config).encode() + b"\0")
    assert fields == {
        "name": "web",
        "type": "hvm",
        "memory_mib": 9,
        "vcpus": 2,
        "config": {"free": 1},
    }


@pytest.mark.parametrize("config", [None, b"", b"{", b"[]", b'{"c_info": {}}', b"\xff"])
def test_useless_configuration_is_refused(config: bytes | None):
    with pytest.raises(errors.UsageError):
        configuration.domain_fields(config)


# ----- descriptors --------------------------------------------------------------------


def test_stream_is_duplicated_above_stdio_and_flags_come_back():
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    stream = StreamFd(writing, "write")
    assert stream.fd > 2
    assert stream.fd != writing
    assert os.get_blocking(writing)
    assert stream.moved()  # nobody can tell for a pipe
    stream.close()
    stream.close()
    assert not os.get_blocking(writing)
    os.close(reading)
    os.close(writing)


def test_file_that_was_not_touched_is_known_as_such(tmp_path: Path):
    with (tmp_path / "image").open("wb", buffering=0) as file:
        file.write(b"head")
        stream = StreamFd(file.fileno(), "write")
        assert not stream.moved()
        file.write(b"more")
        assert stream.moved()
        stream.close()


@pytest.mark.parametrize(
    ("flags", "access"),
    [(os.O_RDONLY, "write"), (os.O_WRONLY, "read"), (os.O_PATH, "read")],
)
def test_stream_of_the_wrong_kind_is_refused(flags: int, access: str):
    fd = os.open("/dev/null", flags)
    with pytest.raises(errors.UsageError):
        StreamFd(fd, access)  # type: ignore[arg-type]
    os.close(fd)


@pytest.mark.parametrize("fd", [-1, 987654, 1 << 40])
def test_number_that_is_no_descriptor_is_refused(fd: int):
    with pytest.raises(errors.UsageError):
        StreamFd(fd, "write")


# ----- domains ------------------------------------------------------------------------


def facts(flags: int, reason: int = 0) -> DomainFacts:
    return DomainFacts.from_result(
        OpResult(0, 0, (7, flags, reason, 25, 25, 1, 0, 0), bytes(16))
    )


@pytest.mark.parametrize(
    ("found", "state"),
    [
        (None, GuestState.GONE),
        (facts(RUNNING), GuestState.RUNNING),
        (facts(0), GuestState.RUNNING),
        (facts(PAUSED), GuestState.PAUSED),
        (facts(SHUT_DOWN, 2), GuestState.SUSPENDED),
        (facts(SHUT_DOWN | PAUSED, 2), GuestState.SUSPENDED),
        (facts(SHUT_DOWN, 3), GuestState.SHUTDOWN),
        (facts(DYING | SHUT_DOWN, 2), GuestState.GONE),
    ],
)
def test_state_of_a_guest_is_read_from_its_flags(
    found: DomainFacts | None, state: GuestState
):
    assert guest_state(found) is state


def test_short_domain_info_is_refused():
    with pytest.raises(errors.BackendError):
        DomainFacts.from_result(OpResult(0, 0, (7,), bytes(16)))


# ----- backends -----------------------------------------------------------------------


@pytest.fixture
def dom0(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make this look like the control domain of a Xen, xenstored aside."""
    (tmp_path / "capabilities").write_text("control_d\n")
    monkeypatch.setattr(backend, "XEN_CAPABILITIES", tmp_path / "capabilities")
    monkeypatch.setattr(backend, "XENSTORE_SOCKETS", (tmp_path / "socket",))
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    return tmp_path


def test_dom0_without_xenstored_is_told(dom0: Path):
    with pytest.raises(errors.BackendError, match="xenstored is not running"):
        backend.detect()


def test_dom0_is_found_before_an_embedded_host(dom0: Path):
    import socket

    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(dom0 / "socket"))
        found = backend.detect()
    assert (found.kind, found.host) == ("xen", None)
    assert found.qmp_path(7) == Path("/var/run/xen/qmp-libxl-7")
    assert found.save_path(7) == Path("/var/lib/xen/qemu-save.7")
    assert found.userdata_path(7, "u") == Path("/var/lib/xen/userdata-d.7.u.libxl-json")
    assert found.helper_arguments() == ["--backend", "xen"]


def test_dom0_without_rights_is_told(dom0: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(errors.BackendError, match="root is needed"):
        backend.detect()


def test_neither_xen_nor_host_names_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(backend, "XEN_CAPABILITIES", tmp_path / "none")
    monkeypatch.setattr(backend, "XEN_TYPE", tmp_path / "none")
    monkeypatch.setattr(backend, "default_host", lambda: tmp_path)
    with pytest.raises(errors.BackendError, match="xlpy sim start"):
        backend.detect()
    with pytest.raises(errors.BackendError, match="control domain"):
        backend.detect("xen")
    with pytest.raises(errors.BackendError, match="unknown backend"):
        backend.detect("kvm")
    with pytest.raises(errors.BackendError, match="with `xlpy sim start`"):
        backend.detect("simxen")
    other = tmp_path / "o t"
    with pytest.raises(errors.BackendError, match=f"xlpy --host '{other}' sim start"):
        backend.detect("auto", other)


async def test_host_that_says_nothing_of_a_domain_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(configuration, "ANSWER_TIMEOUT", 0.2)
    where = backend.Backend("simxen", tmp_path, tmp_path / "xs", tmp_path, tmp_path)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "control.sock"))
        listener.listen()
        with pytest.raises(errors.BackendError, match=r"nothing of domain 7 in 0\.2 s"):
            await configuration.stored_config(where, 7, "")


# ----- events -------------------------------------------------------------------------


async def test_slow_reader_loses_the_oldest_events_only():
    feed = EventFeed()
    reader = feed.subscribe()
    for number in range(MAX_BEHIND + 5):
        feed.publish(PhaseEvent(str(number), 0.0))
    feed.close()
    names = [event.name async for event in reader if isinstance(event, PhaseEvent)]
    assert names == [str(number) for number in range(5, MAX_BEHIND + 5)]


def test_last_line_skips_empty_ones():
    assert last_line("a\nb\n\n  \n") == "b"
    assert last_line("") == ""


async def test_configuration_kept_by_xen_is_read_beside_the_loop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(backend, "XEN_LIB_DIR", tmp_path)
    where = backend.Backend("xen", None, tmp_path, tmp_path, tmp_path)
    await asyncio.to_thread(where.userdata_path(7, "u").write_bytes, b"{}\n\0")
    assert await configuration.stored_config(where, 7, "u") == b"{}\n\0"
    with pytest.raises(errors.BackendError, match="no configuration of domain 8"):
        await configuration.stored_config(where, 8, "u")


# ----- files --------------------------------------------------------------------------


async def test_save_file_is_opened_and_put_in_its_place_beside_the_loop(tmp_path: Path):
    path = tmp_path / "web.save"
    file = await SaveFile.when_free(path, b"head")
    await asyncio.to_thread(file.commit)
    file.close()
    assert await asyncio.to_thread(path.read_bytes) == b"head"


async def test_save_file_whose_opener_is_cancelled_is_not_left(tmp_path: Path):
    path = tmp_path / "web.save"
    opening = asyncio.create_task(SaveFile.when_free(path, b"head"))
    await asyncio.sleep(0)
    opening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await opening
    assert await asyncio.to_thread(os.listdir, tmp_path) == []
