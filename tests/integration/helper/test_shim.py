"""The shim's C under the sanitizers and under valgrind, without Python in between."""

import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.compiling import FLAGS, SOURCES, compile_fake
from tests.support.helper_driver import FakeHost

SANITIZERS = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
VALGRIND = ["valgrind", "--quiet", "--leak-check=full", "--error-exitcode=99"]
VALGRIND += ["--track-fds=no", "--errors-for-leak-kinds=definite,indirect,possible"]
#: Longest a stuck thread may take to get out, on a busy machine under valgrind.
LIMIT = 50

Built = Callable[..., list[str]]


@pytest.fixture
def built(tmp_path: Path) -> Built:
    """Compile the driver and three fakes; gives the command line."""

    def build(*options: str) -> list[str]:
        variants = {"now": (), "old": ("-DFAKE_4_14",), "new": ("-DFAKE_4_22",)}
        fakes = [
            compile_fake(tmp_path / f"{name}.so", *options, *defines)
            for name, defines in variants.items()
        ]
        program = tmp_path / "shim_driver"
        sources = [Path(__file__).with_name("shim_driver.c"), SOURCES / "shim.c"]
        subprocess.run(
            [
                *("cc", *FLAGS, *options, f"-I{SOURCES}", "-o", str(program)),
                *(str(source) for source in sources),
                "-ldl",
            ],
            check=True,
        )
        return [str(path) for path in (program, *fakes, tmp_path)]

    return build


def run(argv: list[str]) -> None:
    done = subprocess.run(argv, capture_output=True, text=True, timeout=LIMIT)
    assert (done.returncode, done.stdout) == (0, "ok\n"), done.stderr


def test_shim_is_clean_under_address_and_undefined_sanitizers(
    host: FakeHost, built: Built
) -> None:
    run(built(*SANITIZERS))
    assert "memflags 9 0" in host.calls()  # 4.22's argument, not garbage


def test_shim_is_clean_under_valgrind(host: FakeHost, built: Built) -> None:
    run([*VALGRIND, *built()])


def test_a_fault_would_be_found(tmp_path: Path) -> None:
    """The two tests above are worth something: their tools do report."""
    source = tmp_path / "bad.c"
    source.write_text(
        "#include <stdlib.h>\n"
        "int main(void) { char *p = malloc(4); volatile int i = 4; return p[i]; }\n"
    )
    program = tmp_path / "bad"
    compile_bad = ["cc", "-o", str(program), str(source)]
    subprocess.run([*compile_bad, *SANITIZERS], check=True)
    done = subprocess.run([str(program)], capture_output=True, text=True)
    assert re.search("heap-buffer-overflow", done.stderr)
    subprocess.run(compile_bad, check=True)
    assert (
        subprocess.run([*VALGRIND, str(program)], capture_output=True).returncode == 99
    )
