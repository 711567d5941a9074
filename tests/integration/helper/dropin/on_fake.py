"""libxlpy-save-helper on the fake libxenguest: HOST LIBRARY SOURCE, libxl's argv.

SOURCE may be SOURCE,PAGES,ACKS: so many are to be claimed, and where epochs are
acknowledged.
"""

import os
import sys

from libxlpy_helper.dropin.process import serve
from libxlpy_helper.options import Options

host, library, numbers, *argv = sys.argv[1:]
source, pages, acks = map(int, numbers.split(","))
backend = Options(os.getppid(), "simxen", host, library)
serve(argv, backend, source, acks, claim_pages=pages)
