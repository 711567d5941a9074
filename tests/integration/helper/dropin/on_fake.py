"""libxlpy-save-helper on the fake libxenguest: HOST LIBRARY SOURCE, libxl's argv.

SOURCE may be SOURCE,PAGES: so many are to be claimed.
"""

import os
import sys

from libxlpy_helper.dropin.process import serve
from libxlpy_helper.options import Options

host, library, numbers, *argv = sys.argv[1:]
source, _, pages = numbers.partition(",")
backend = Options(os.getppid(), "simxen", host, library)
serve(argv, backend, int(source), int(pages or 0))
