"""xlpy save, and somebody lets the guest run again before its file is in its place.

Run as ``python interfering_xlpy.py --host HOST save DOM FILE``.
"""

import sys

from libxlpy import Context
from libxlpy.cli.main import main
from libxlpy.save_file import SaveFile


def run(*arguments: str) -> int:
    _, host, _, name, _ = arguments
    put_in_place = SaveFile.put_in_place

    async def after_a_resume(file: SaveFile) -> None:
        async with Context("simxen", host) as other:
            await other.domain_resume(await other.resolve(name))
        await put_in_place(file)

    SaveFile.put_in_place = after_a_resume  # type: ignore[method-assign]
    return main(arguments)


if __name__ == "__main__":
    sys.exit(run(*sys.argv[1:]))
