"""C that is compiled for tests: the fake libxenguest, and what is only checked."""

import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]
SOURCES = ROOT / "helper" / "src"
FLAGS = ["-std=gnu11", "-O1", "-g", "-Wall", "-Wextra", "-Werror", "-pthread"]
START = """
#include <stddef.h>
#include <xenctrl.h>
#include <xenevtchn.h>
#include <xenguest.h>
#define XEN_ABI_CHECK
#include "xen_abi.h"
#define SAME(a, b) __builtin_types_compatible_p(a, b)
#define FIELD(type, name) __typeof__(((struct type *)0)->name)
"""


def compile_fake(target: Path, *options: str) -> Path:
    """Compile the fake library."""
    source = Path(__file__).with_name("fake_xenguest.c")
    subprocess.run(
        [
            *("cc", *FLAGS, "-fPIC", "-shared", f"-I{SOURCES}", *options),
            *("-o", str(target), str(source)),
        ],
        check=True,
    )
    return target


def compile_c(include: Path, work: Path, body: list[str], start: str = START) -> str:
    """Compile; return what the compiler says, "" if all is well."""
    source = work / "check.c"
    source.write_text("\n".join([start, *body]) + "\n")
    argv = ["cc", "-std=gnu11", "-Wall", "-Werror", "-fsyntax-only"]
    argv += [f"-I{SOURCES}", "-isystem", str(include), str(source)]
    return subprocess.run(argv, capture_output=True, text=True).stderr
