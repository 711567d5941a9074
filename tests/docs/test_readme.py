"""Every command and program that the documents show is run, in order, as shown."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
#: Documents with commands, and what their commands find there.
DOCUMENTS = {
    "README.md": "",
    "docs/migration.md": "",
    "docs/remus.md": "",
    "docs/simxen.md": "",
    "docs/inspect.md": (
        "xlpy sim start; xlpy sim create web --memory 8; xlpy save -c web web.img\n"
    ),
}
#: Documents with programs, and how these are told the domain.
PROGRAMS = {
    "README.md": "web",
    "docs/guide.md": "web",
    "docs/libxl.md": "1",
    "docs/logging.md": "web",
    "docs/policies.md": "web",
    "docs/telemetry.md": "web",
}
#: Run by CI itself, before or around the tests.
BY_CI = re.compile(
    r"^\s*(\./)?scripts/|^\s*git clone|^\s*cd |apt-get|pip install|^\. \.venv/"
)


def blocks(document: str, language: str) -> list[str]:
    """Give the fenced blocks of one language."""
    text = (ROOT / document).read_text()
    return [body for found, body in BLOCK.findall(text) if found == language]


def commands(document: str) -> list[str]:
    """Give the commands of the shell blocks that CI does not run otherwise."""
    lines = "".join(blocks(document, "sh")).splitlines()
    return [line for line in lines if line.strip() and not BY_CI.match(line)]


def run_alone(script: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a script in a mount namespace with a /run of its own, so that the default
    host is ours alone and gone with it."""
    bin_folder = Path(sys.executable).parent
    prelude = (
        "set -eu\n"
        "mount -t tmpfs -o mode=755 tmpfs /run\n"
        f"export PATH={bin_folder}:$PATH\n"
        "trap 'xlpy sim stop >/dev/null 2>&1 || true' EXIT\n"
    )
    return subprocess.run(
        ["unshare", "--mount", "--fork", "bash", "-c", prelude + script],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


@pytest.mark.timeout(300)
@pytest.mark.parametrize("document", DOCUMENTS)
def test_commands_shown_work_in_order(document, tmp_path):
    shown = commands(document)
    assert shown, f"{document} shows no command in an sh block"
    done = run_alone(DOCUMENTS[document] + "set -x\n" + "\n".join(shown), tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.timeout(300)
@pytest.mark.parametrize(("document", "domain"), PROGRAMS.items())
def test_programs_shown_work(document, domain, tmp_path):
    programs = blocks(document, "python")
    assert programs
    for number, program in enumerate(programs):
        file = tmp_path / f"program{number}.py"
        file.write_text(program)
        script = (
            "xlpy sim start\n"
            "xlpy sim create web --type pv --memory 16 --rate 500\n"
            f"{sys.executable} {file} {domain}\n"
        )
        done = run_alone(script, tmp_path)
        assert done.returncode == 0, done.stdout + done.stderr


def test_relative_links_lead_somewhere():
    for path in [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]:
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", path.read_text()):
            assert (path.parent / target).exists(), f"{path.name}: {target}"


def test_unit_shown_is_the_one_that_is_installed():
    [shown] = blocks("docs/supervision.md", "ini")
    assert shown == (ROOT / "libxlpy/examples/xlpyd.service").read_text()
