"""`verify` gives the answer that every reader gives; differences are documented."""

from pathlib import Path

import pytest

from tests.support import stream_samples as samples
from tests.support.grammar_cases import CASES, cases_of
from tests.support.saved_file import SavedFile
from tests.unit.streams.feeding import outcome

DOCUMENT = Path(__file__).parents[3] / "docs" / "files.md"
BASES = {"pv": samples.PV_FILE, "hvm": samples.HVM_FILE}


@pytest.mark.parametrize(
    ("base", "name"),
    [(base, name) for base in BASES for name in cases_of(pv=base == "pv")],
)
def test_verify_takes_or_refuses(base: str, name: str) -> None:
    file, case = SavedFile.of(BASES[base]), CASES[name]
    case.change(file)
    _, error = outcome([file.xl + file.stream])
    if case.told:
        assert error is not None
        assert case.told in error
    else:
        assert error is None


def test_each_difference_is_a_line_of_the_document() -> None:
    text = " ".join(DOCUMENT.read_text().split())
    for name, case in CASES.items():
        for why in (case.simxen, case.xen, case.libxl):
            assert why in text, name
