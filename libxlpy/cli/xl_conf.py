"""What `xl` itself is told in its own file, and holds for what does its work, too."""

import re
from pathlib import Path

from libxlpy.cli.terminal.outcome import os_error_text
from libxlpy.cli.terminal.output import Output

XL_CONF = Path("/etc/xen/xl.conf")
#: Spelt as in `xl` -> what it stands for.
MEANS = {"on": "on", "1": "on", "off": "off", "0": "off", "auto": "auto"}
AUTOBALLOON = re.compile(r"""^\s*autoballoon\s*=\s*(["']?)([^"'#;\s]*)\1""", re.M)


def autoballoon(out: Output) -> str:
    """Tell whether dom0 shrinks for other domains: on, off or auto; blocks.

    Xen: tools/xl/xl.c, parse_global_config().
    """
    try:
        text = XL_CONF.read_text(errors="replace")
    except FileNotFoundError:
        return "auto"
    except OSError as exc:
        out.note(f"xlpy: {os_error_text(exc)}; autoballoon is taken for auto")
        return "auto"
    said = [found[2] for found in AUTOBALLOON.finditer(text)] or ["auto"]
    if said[-1] not in MEANS:
        known = ", ".join(MEANS)
        what = f"autoballoon is {said[-1]!r:.40}, none of {known}: taken for auto"
        out.note(f"xlpy: {XL_CONF}: {what}")
    return MEANS.get(said[-1], "auto")
