"""Any bytes, in any cut: the same events and the same error, and only that error."""

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from libxlpy.streams import Format
from tests.support import stream_samples as samples
from tests.unit.streams.feeding import outcome

# pages of 16 KiB in all keep one example short; their contents are opaque anyway
SMALL_PV = samples.xl_file(
    samples.libxl_stream(
        samples.pv_image(
            *samples.PV_STATIC,
            samples.P2M_FRAMES,
            samples.page_data(0, 0xF << 60 | 1, contents=1),
            *samples.PV_STATE,
            samples.END,
        )
    )
)
SMALL_HVM = samples.xl_file(
    samples.libxl_stream(
        samples.hvm_image(
            *samples.HVM_STATIC,
            samples.page_data(7),
            *samples.HVM_STATE,
            samples.END,
        ),
        samples.XENSTORE_DATA,
        samples.EMULATOR_CONTEXT,
        samples.END,
    )
)
BASES = st.sampled_from([SMALL_PV, SMALL_HVM])
#: Values that lengths, counts and types are wrong with most often.
EDGES = st.sampled_from([b"\0", b"\xff", b"\x01", b"\x80", b"\x08"])
FAST = settings(
    max_examples=150,
    deadline=None,
    database=None,  # leaves no directory behind
    suppress_health_check=[HealthCheck.too_slow],
)


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    data = bytearray(draw(BASES))
    for _ in range(draw(st.integers(0, 4))):
        if not data:
            break
        at = draw(st.integers(0, len(data) - 1))
        match draw(st.sampled_from(["change", "drop", "insert", "cut"])):
            case "change":
                data[at : at + 1] = draw(EDGES)
            case "drop":
                del data[at : at + draw(st.integers(1, 16))]
            case "insert":
                data[at:at] = draw(st.binary(min_size=1, max_size=16))
            case "cut":
                del data[at + 1 :]
    return bytes(data)


def cut(data: bytes, places: list[int]) -> list[bytes]:
    ends = [*sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[a:b] for a, b in zip([0, *ends], ends, strict=False)]


@FAST
@given(damaged(), st.lists(st.integers(0, 1 << 20), max_size=12))
def test_the_cut_changes_nothing(data: bytes, places: list[int]) -> None:
    assert outcome(cut(data, places)) == outcome([data])


@settings(FAST, max_examples=20)
@given(damaged())
def test_byte_by_byte_is_the_same_as_whole(data: bytes) -> None:
    assert outcome(data[i : i + 1] for i in range(len(data))) == outcome([data])


@FAST
@given(st.binary(max_size=200), st.sampled_from(Format))
def test_noise_gives_nothing_but_the_one_error(data: bytes, format: Format) -> None:
    _, error = outcome([data], format)
    assert error is not None
    assert outcome((data[i : i + 1] for i in range(len(data))), format)[1] == error


@FAST
@given(BASES, st.integers(0, 1 << 20))
def test_a_file_cut_anywhere_is_refused(data: bytes, place: int) -> None:
    assert outcome([data[: place % len(data)]])[1] is not None
