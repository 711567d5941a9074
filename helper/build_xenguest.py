"""Compile the helper's C: the Xen binding, libsimxen.so and simxen-guest.

Run by ``scripts/build_hook.py`` at every install, or by hand after a change of C::

    python helper/build_xenguest.py

Needs a C compiler and Python's own headers, no Xen header: what is needed of Xen's
interface is in ``helper/src/xen_abi.h``. cffi only writes the C of the binding; the
compiler is called directly, so that one missing tool gives one clear line.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

from cffi import FFI

HELPER = Path(__file__).resolve().parent
SOURCES = HELPER / "src"
SIMXEN = SOURCES / "simxen"
PACKAGE = HELPER / "libxlpy_helper"

BINDING = "_xenguest.abi3.so"
LIBSIMXEN = "libsimxen.so"
SIMXEN_GUEST = "simxen-guest"

WARNINGS = ["-Wall", "-Wextra", "-Werror"]
#: The first of each row that the compiler has; some are for one processor only.
HARDENING = [
    ["-fstack-protector-strong"],
    ["-fstack-clash-protection"],
    ["-fcf-protection", "-mbranch-protection=standard"],
    [f"-U_FORTIFY_SOURCE -D_FORTIFY_SOURCE={level}" for level in (3, 2)],
]
#: Full RELRO: the helper is privileged and its call tables are function pointers.
LINKING = ["-pthread", "-Wl,-z,relro,-z,now,-z,noexecstack"]
STRICT = [
    "-std=gnu11",
    "-O2",
    "-g",
    "-fPIC",
    "-fvisibility=hidden",
    "-pthread",
    *WARNINGS,
]
#: What cffi generates is not ours to keep free of these. cffi 1.15 takes it that
#: Python.h brings two headers, which the stable ABI's of 3.11 does not.
GENERATED = [
    *(*STRICT, "-Wno-unused-parameter", "-Wno-missing-field-initializers"),
    *("-include", "string.h", "-include", "alloca.h"),
]

#: The binding's C names, as Python sees them. Callbacks: one ``on_`` function per
#: member of Xen's two structs; a test compares them with the message table.
CDEF = """
typedef struct xc_interface_core xc_interface;

struct precopy_stats {
    unsigned int iteration; unsigned long total_written; long dirty_count;
};
struct save_callbacks {
    int (*suspend)(void *);
    int (*precopy_policy)(struct precopy_stats, void *);
    int (*postcopy)(void *);
    int (*checkpoint)(void *);
    int (*wait_checkpoint)(void *);
    int (*switch_qemu_logdirty)(uint32_t, unsigned, void *);
    void *data;
};
struct restore_callbacks {
    int (*static_data_done)(unsigned int, void *);
    int (*suspend)(void *);
    int (*postcopy)(void *);
    int (*checkpoint)(void *);
    int (*wait_checkpoint)(void *);
    void (*restore_results)(unsigned long, unsigned long, void *);
    void *data;
};
struct xen_domctl_getdomaininfo {
    uint16_t domain; uint32_t flags; uint64_t tot_pages; uint64_t max_pages;
    uint64_t outstanding_pages; uint64_t cpu_time; uint32_t nr_online_vcpus;
    uint8_t handle[16]; ...;
};

#define SIGTERM ...
#define SIGUSR1 ...
#define SHIM_TEXT_MAX ...
#define SHIM_ERROR_MAX ...
#define SHIM_COMMAND_LINE_MAX ...
#define SHIM_ABI_4_14 ...
#define SHIM_ABI_4_15 ...
#define SHIM_ABI_4_22 ...

struct shim_library { ...; };
struct shim_sink {
    void (*log)(int, int, const char *, const char *);
    void (*progress)(const char *, const char *, unsigned long, unsigned long);
};
struct shim_restore_arguments {
    int io_fd; uint32_t domid; uint32_t store_evtchn, store_domid;
    uint32_t console_evtchn, console_domid; int stream_type; int send_back_fd;
};

int shim_load(struct shim_library *, const char *, int, char *);
int shim_can_load(const char *);
int shim_set_simxen_host(struct shim_library *, const char *);
uint64_t shim_spliced(const struct shim_library *);
void shim_set_sink(const struct shim_sink *);
xc_interface *shim_interface_open(const struct shim_library *);
int shim_interface_close(const struct shim_library *, xc_interface *);
int shim_domain_save(const struct shim_library *, xc_interface *, int, uint32_t,
                     uint32_t, struct save_callbacks *, int, int);
int shim_domain_restore(const struct shim_library *, xc_interface *,
                        const struct shim_restore_arguments *,
                        struct restore_callbacks *, unsigned long *, unsigned long *);
int shim_domain_info(const struct shim_library *, xc_interface *, uint32_t,
                     struct xen_domctl_getdomaininfo *);
int shim_capabilities(const struct shim_library *, xc_interface *, uint32_t *);
int shim_free_memory(const struct shim_library *, xc_interface *, uint64_t *);
int shim_command_line(const struct shim_library *, xc_interface *, char *);
int shim_domain_claim(const struct shim_library *, xc_interface *, uint32_t,
                      unsigned long);
int shim_hvm_param(const struct shim_library *, xc_interface *, uint32_t, uint32_t,
                   uint64_t *);
int shim_domain_pause(const struct shim_library *, xc_interface *, uint32_t);
int shim_domain_unpause(const struct shim_library *, xc_interface *, uint32_t);
int shim_domain_shutdown(const struct shim_library *, xc_interface *, uint32_t, int);
int shim_domain_resume(const struct shim_library *, xc_interface *, uint32_t, int);
int shim_domain_destroy(const struct shim_library *, xc_interface *, uint32_t);
int shim_logdirty_on(const struct shim_library *, xc_interface *, uint32_t);
int shim_dirty_count(const struct shim_library *, xc_interface *, uint32_t, uint32_t *);
int shim_logdirty_off(const struct shim_library *, xc_interface *, uint32_t);
int shim_harden(int);
int shim_no_core(void);
int shim_take_signals(int);

struct evtchn { ...; };
int evtchn_open(struct evtchn *, const struct shim_library *, xc_interface *, uint32_t,
                uint32_t);
int evtchn_notify(const struct evtchn *);
int evtchn_take(const struct evtchn *);
int evtchn_unmask(const struct evtchn *);
void evtchn_close(struct evtchn *);

extern "Python" {
    void on_log(int, int, const char *, const char *);
    void on_progress(const char *, const char *, unsigned long, unsigned long);
    int on_suspend(void *);
    int on_precopy_policy(struct precopy_stats, void *);
    int on_postcopy(void *);
    int on_checkpoint(void *);
    int on_wait_checkpoint(void *);
    int on_switch_qemu_logdirty(uint32_t, unsigned, void *);
    int on_static_data_done(unsigned int, void *);
    void on_restore_results(unsigned long, unsigned long, void *);
}
"""

#: And those of libxenlight, for the process that builds domains.
XENLIGHT_CDEF = """
#define XENLIGHT_ERROR_MAX ...

typedef struct libxl_ctx libxl_ctx;
struct xenlight { ...; };
struct xenlight_log { uint32_t size; int32_t level; int32_t errnoval; };

int xenlight_load(struct xenlight *, const char *, char *);
int xenlight_open(const struct xenlight *, int, libxl_ctx **);
int xenlight_create(const struct xenlight *, libxl_ctx *, const char *, int, int,
                    uint32_t *);
int xenlight_add_nic(const struct xenlight *, libxl_ctx *, uint32_t, const char *);
int xenlight_remove_nic(const struct xenlight *, libxl_ctx *, uint32_t, const char *);
int xenlight_store_config(const struct xenlight *, libxl_ctx *, uint32_t, const char *);
int xenlight_stored_config(const struct xenlight *, libxl_ctx *, uint32_t, char **);
void free(void *);
int xenlight_unpause(const struct xenlight *, libxl_ctx *, uint32_t);
int xenlight_destroy(const struct xenlight *, libxl_ctx *, uint32_t);
int xenlight_rename(const struct xenlight *, libxl_ctx *, uint32_t, const char *,
                    const char *);
int xenlight_core_dump(const struct xenlight *, libxl_ctx *, uint32_t, const char *);
int xenlight_watch_death(const struct xenlight *, libxl_ctx *, uint32_t);
int xenlight_wait(const struct xenlight *, libxl_ctx *, uint32_t *, int *, int *);
"""


class BuildError(Exception):
    """The C could not be compiled; the text says in one line what to do."""


def build(target: Path = PACKAGE) -> list[Path]:
    """Compile everything into ``target`` and return the files made.

    Each file is replaced in one step, so that a running helper keeps the one it loaded.

    Raises:
        BuildError: No compiler, no Python.h, or the compiler failed.
    """
    compiler = _find_compiler()
    _check_python_headers()
    with tempfile.TemporaryDirectory(prefix="libxlpy-build-") as name:
        work = Path(name)
        compiler = hardened(compiler, work)
        made = [_install(_binding(compiler, work), target)]
        return [*made, *(_install(path, target) for path in _simxen(compiler, work))]


def _find_compiler() -> list[str]:
    """$CC, else cc or gcc, as argv.

    Raises:
        BuildError: None of them is installed.
    """
    chosen = shlex.split(os.environ.get("CC", ""))
    for argv in (chosen, ["cc"], ["gcc"]):
        if argv and shutil.which(argv[0]):
            return argv
        if argv is chosen and argv:
            raise BuildError(f"libxlpy: C compiler {argv[0]!r} (from $CC) not found")
    raise BuildError(
        "libxlpy: no C compiler found; install one: apt install gcc libc6-dev"
    )


def _check_python_headers() -> None:
    """Raise BuildError if Python.h is missing."""
    if not (Path(sysconfig.get_path("include")) / "Python.h").exists():
        raise BuildError(
            "libxlpy: Python.h not found; install it: apt install python3-dev"
        )


# --------------------------------------------------------------------------------------
# The three products
# --------------------------------------------------------------------------------------


def _binding(compiler: list[str], work: Path) -> Path:
    """The cffi module over the shims; stable ABI, for every Python from 3.11 on."""
    generated = work / "_xenguest.c"
    builder = FFI()
    builder.cdef(CDEF)
    builder.cdef(XENLIGHT_CDEF)
    headers = '#include "shim.h"\n#include "evtchn.h"\n#include "xenlight.h"'
    builder.set_source("libxlpy_helper._xenguest", headers)
    builder.emit_c_code(str(generated))
    include = [f"-I{SOURCES}", f"-I{sysconfig.get_path('include')}"]
    limited = "-DPy_LIMITED_API=0x030b0000"
    shims = [SOURCES / f"{name}.c" for name in ("shim", "evtchn", "xenlight")]
    objects = [*_compile_all(compiler, shims, work), work / "_xenguest.o"]
    lenient = [*compiler, *GENERATED, limited, *include]
    _run([*lenient, "-c", str(generated), "-o", str(objects[-1])])
    return _link(compiler, work / BINDING, objects, ["-shared", "-ldl"])


def _simxen(compiler: list[str], work: Path) -> list[Path]:
    """libsimxen.so from lib_* and common_*, simxen-guest from guest_* and common_*."""
    objects = _compile_all(compiler, sorted(SIMXEN.glob("*.c")), work)
    library = [obj for obj in objects if obj.name.startswith(("lib_", "common_"))]
    guest = [obj for obj in objects if obj.name.startswith(("guest_", "common_"))]
    return [
        _link(compiler, work / LIBSIMXEN, library, ["-shared", "-Wl,-z,defs"]),
        _link(compiler, work / SIMXEN_GUEST, guest, ["-pie"]),
    ]


def hardened(compiler: list[str], work: Path) -> list[str]:
    """The compiler, with all of HARDENING that it has."""
    source = work / "probe.c"
    # libc's headers tell whether they know the level, and only if they are used.
    source.write_text("#include <stdio.h>\nint probe;\n")
    probe = [*STRICT, "-c", str(source), "-o", str(work / "probe.o")]
    chosen = []
    for row in HARDENING:
        for options in map(str.split, row):
            argv = [*compiler, *options, *probe]
            if not subprocess.run(argv, check=False, capture_output=True).returncode:
                chosen += options
                break
    return [*compiler, *chosen]


def _compile_all(
    compiler: list[str], sources: Iterable[Path], work: Path
) -> list[Path]:
    objects = []
    for source in sources:
        objects.append(work / f"{source.stem}.o")
        _run([*compiler, *STRICT, "-c", str(source), "-o", str(objects[-1])])
    return objects


def _link(
    compiler: list[str], target: Path, objects: Sequence[Path], options: list[str]
) -> Path:
    files = [str(obj) for obj in objects]
    _run([*compiler, *LINKING, "-o", str(target), *files, *options])
    return target


def _run(argv: list[str]) -> None:
    done = subprocess.run(argv, check=False, stdin=subprocess.DEVNULL)
    if done.returncode:
        raise BuildError(f"libxlpy: {shlex.join(argv)} failed with {done.returncode}")


def _install(path: Path, target: Path) -> Path:
    """Put ``path`` into ``target`` with the modes of a program."""
    placed = target / path.name
    with tempfile.NamedTemporaryFile(dir=target, delete=False) as copy:
        copy.write(path.read_bytes())
    Path(copy.name).chmod(0o755)
    Path(copy.name).replace(placed)
    return placed


if __name__ == "__main__":
    try:
        for built in build():
            sys.stdout.write(f"{built}\n")
    except BuildError as error:
        sys.exit(str(error))
