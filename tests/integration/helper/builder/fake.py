"""A fake libxenlight in a process of its own, which notes what it is told."""

import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent


class Fake:
    """A folder in which the fake leaves what was called."""

    def __init__(self, folder: Path, library: Path) -> None:
        self.folder = folder
        self.library = library
        #: Where nobody is.
        self.xenstore = "/dev/null/xenstored"

    def run(self, what: str, words: str) -> list[str]:
        script = str(HERE / "on_fake_xenlight.py")
        argv = [str(self.library), what, words, self.xenstore]
        done = subprocess.run(
            [sys.executable, "-I", script, *argv],
            cwd=self.folder,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()

    def calls(self) -> list[str]:
        lines = (self.folder / "calls").read_text().splitlines()
        return [line.strip() for line in lines if not line.startswith("dispose")]
