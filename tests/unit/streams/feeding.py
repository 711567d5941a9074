"""Feed a parser in any cut and give all that came out of it."""

from collections.abc import Iterable

from libxlpy.streams import Format, StreamEvent, StreamParser, StreamRuleBroken

Outcome = tuple[list[StreamEvent], str | None]


def outcome(pieces: Iterable[bytes], format: Format = Format.XL) -> Outcome:
    parser = StreamParser(format)
    events: list[StreamEvent] = []
    try:
        for piece in pieces:
            events += parser.feed(piece)
        parser.close()
    except StreamRuleBroken as exc:
        events += exc.events
        return events, str(exc)
    return events, None


def error_of(data: bytes, format: Format = Format.XL) -> str:
    _, error = outcome([data], format)
    assert error is not None, "the stream was accepted"
    return error
