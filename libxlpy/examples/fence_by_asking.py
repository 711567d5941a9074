"""A fence that asks the primary's host, by another way; see docs/remus.md.

``python -m libxlpy.examples.fence_by_asking COMMAND... fence`` runs ``COMMAND... xlpy
list --json``, as in ``ssh -o BatchMode=yes primary-mgmt``, and exits with 0 if the
guest is not there, 3 if it runs there, and 1 if that can't be told: the host does not
answer, or has a guest that is neither gone nor running. What bounds it is who runs it.

"Not there" proves something only if nobody starts it there again by himself, as at the
host's start.
"""

import json
import subprocess
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

from libxlpy import Primary

#: Bytes of an answer, and of what we are told.
ANSWER_MAX, FACTS_MAX = 4 << 20, 1 << 16
LIST = ("xlpy", "list", "--json")
#: What a fence is called with, and what its exit status says.
WHEN = "fence"
STATUS = {Primary.GONE: 0, Primary.ALIVE: 3}


def main(words: Sequence[str] = tuple(sys.argv[1:])) -> NoReturn:
    """Ask, and exit with what is known."""
    *command, when = words or ("",)
    if when != WHEN or not command:
        sys.exit("fence_by_asking: COMMAND... fence")
    lost = json.loads(sys.stdin.buffer.read(FACTS_MAX))
    if not lost["uuid"]:
        sys.exit(f"{lost['name']} has no uuid: it could be there by another name")
    found = known(asked(command), lost["uuid"], lost["name"])
    if found is Primary.UNKNOWN:
        sys.exit(f"{lost['name']} is there, and does not run")
    sys.exit(STATUS[found])


def asked(command: Sequence[str]) -> list[dict[str, Any]]:
    """Give what the host says of its domains; exits if it says nothing whole."""
    with subprocess.Popen([*command, *LIST], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        answer = process.stdout.read(ANSWER_MAX + 1)
        if len(answer) > ANSWER_MAX:
            process.kill()
    if process.returncode or len(answer) > ANSWER_MAX:
        sys.exit(f"{' '.join(command)}: exit status {process.returncode}")
    try:
        return [dict(each) for each in checked(json.loads(answer))]
    except (ValueError, TypeError):
        sys.exit(f"{' '.join(command)} said no list of domains")


def checked(answer: object) -> list[Any]:
    """Give an answer that is a list; what else there is proves nothing."""
    if not isinstance(answer, list):
        raise TypeError(answer)
    return answer


def known(domains: Sequence[dict[str, Any]], uuid: str, name: str) -> Primary:
    """Tell what is known of a guest; one of another uuid and its name is none."""
    for domain in domains:
        if domain["uuid"] == uuid or domain["name"] == name:
            is_itself, runs = domain["uuid"] == uuid, not halted(domain)
            return Primary.ALIVE if is_itself and runs else Primary.UNKNOWN
    return Primary.GONE


def halted(domain: dict[str, Any]) -> bool:
    """Tell whether it does not run, though it is there."""
    return any(domain[state] for state in ("paused", "shutdown", "dying"))


if __name__ == "__main__":
    main()
