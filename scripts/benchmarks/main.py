"""Measure libxlpy on an embedded host, next to references, interleaved in one run.

The machine's speed drifts, so only ratios of neighbours in one run mean anything: every
round runs ours, then the reference, and the ratio is taken round by round. Shown are
minimum, median and maximum.

`--migrate` measures migrations between two embedded hosts instead; twice the memory of
the guest is taken. `--xen SUITE` has `xl` and `xlpy` do the same in turn, on real Xen
in the rig: half an hour.
"""

import argparse
import asyncio
import json
import sys
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

from measure import Row, table
from moving import Moving
from reference import Reference
from simxen import Bench

import xen

#: Ratios a release must have, by row; medians. At most that, if less is better.
REQUIRED = {
    "save to a pipe": 1.4,
    "restore from a save": 2.0,
    "live migration of an idle guest": 1.25,
    "sent of one that writes a tenth a pass, next to its memory": 1.6,
    **xen.REQUIRED,
}


def main() -> int:
    """Measure, print the table, write the JSON; 1 if a required ratio is missed."""
    arguments = parse()
    rows = rows_of(arguments)
    what = f"Real Xen, {arguments.xen}" if arguments.xen else ""
    what = what or f"{arguments.memory} MiB guest"
    print(table(rows, f"{what}, {arguments.rounds} rounds"))
    if arguments.json:
        report = {"what": what, "rounds": arguments.rounds}
        report["rows"] = [row.as_dict() for row in rows]
        Path(arguments.json).write_text(json.dumps(report, indent=2) + "\n")
    missed = too_slow(rows)
    if arguments.gate and missed:
        print("bench: too slow: " + "; ".join(missed), file=sys.stderr)
        return 1
    return 0


def rows_of(arguments: argparse.Namespace) -> list[Row]:
    """Measure what was asked for."""
    if arguments.xen:
        return xen.play(arguments.xen, arguments.rounds, arguments.only)
    if arguments.migrate:
        return moved(arguments)
    with asyncio.Runner(loop_factory=loop_of(arguments)) as runner:
        return runner.run(measure(arguments))


def loop_of(
    arguments: argparse.Namespace,
) -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Give what makes the event loop; None for asyncio's own."""
    if not arguments.uvloop:
        return None
    import uvloop  # no dependency of ours

    return uvloop.new_event_loop


def too_slow(rows: list[Row]) -> list[str]:
    """Tell which rows miss the ratio that they must have."""
    return [
        f"{row.name}: {row.ratio.median:.2f} instead of {REQUIRED[row.name]}"
        for row in rows
        if row.name in REQUIRED and row.misses(REQUIRED[row.name])
    ]


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__)
    parser.add_argument("--memory", type=int, default=512, help="guest, MiB")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--uvloop", action="store_true", help="ours with uvloop's loop")
    instead = parser.add_mutually_exclusive_group()
    text = "measure migrations, and nothing else"
    instead.add_argument("--migrate", action="store_true", help=text)
    text = "play xl and xlpy in turn on real Xen: bookworm or trixie"
    instead.add_argument("--xen", metavar="SUITE", help=text)
    text = 'with --xen: play only this, such as "migrate pvh"'
    parser.add_argument("--only", action="append", default=[], help=text)
    parser.add_argument("--json", metavar="FILE", help="write all samples there")
    parser.add_argument(
        "--gate", action="store_true", help="fail if a required ratio is missed"
    )
    return parser.parse_args()


def moved(arguments: argparse.Namespace) -> list[Row]:
    """Run all rounds of what goes to another host."""
    with (
        TemporaryDirectory(prefix="xlpy-bench-", dir="/dev/shm") as folder,
        Moving(Path(folder), arguments.memory) as moving,
    ):
        return [moving.idle(arguments.rounds), moving.writing(arguments.rounds)]


async def measure(arguments: argparse.Namespace) -> list[Row]:
    """Run all rounds of everything."""
    with TemporaryDirectory(prefix="xlpy-bench-", dir="/dev/shm") as folder:
        reference = Reference(Path(folder), arguments.memory)
        async with Bench(Path(folder), arguments.memory) as ours:
            rows = [
                Row("save to /dev/null", "MB/s"),
                Row("save to a pipe", "MB/s"),
                Row("save to a tmpfs file", "MB/s"),
                Row("restore from a save", "MB/s"),
                Row("restore from a pipe", "MB/s"),
                Row("restore from a tmpfs file", "MB/s"),
                Row("one save to a pipe, next to memcpy", "MB/s"),
                Row("helper start to hello", "ms", less_is_better=True),
                Row("helper start to its first answer", "ms", less_is_better=True),
                Row("callback round trip", "us", less_is_better=True),
                Row("the same, next to one processor", "us", less_is_better=True),
                Row("worst lag of the loop", "ms", less_is_better=True),
            ]
            for _ in range(arguments.rounds):
                for row, sample in zip(
                    rows, await one_round(ours, reference), strict=True
                ):
                    row.add(*sample)
    return rows


async def one_round(ours: Bench, reference: Reference) -> list[tuple[float, float]]:
    """Give (ours, reference) for every row."""
    image, ref_image = ours.image, reference.image
    piped = await ours.save_to_pipe(reference)
    asked = await ours.callback()
    return [
        (await ours.save_to(Path("/dev/null")), reference.save_to(Path("/dev/null"))),
        (piped, reference.save_to_pipe()),
        (await ours.save_to(image), reference.save_to(ref_image)),
        (await ours.restore_from_save(), reference.restore_from_save()),
        (await ours.restore_from_pipe(image), reference.restore_from_pipe(ref_image)),
        (await ours.restore_from(image), reference.restore_from(ref_image)),
        (piped, reference.memcpy()),
        (await ours.helper_start(), reference.python_start()),
        (await ours.helper_answer(), reference.python_start()),
        (asked, reference.echo()),
        (asked, reference.echo("together")),
        (await ours.save_lag(reference), await reference.idle_lag()),
    ]


if __name__ == "__main__":
    sys.exit(main())
