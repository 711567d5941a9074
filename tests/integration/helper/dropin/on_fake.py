"""libxlpy-save-helper on the fake libxenguest: HOST LIBRARY SOURCE, libxl's argv."""

import os
import sys

from libxlpy_helper.dropin.process import serve
from libxlpy_helper.options import Options

host, library, source, *argv = sys.argv[1:]
serve(argv, Options(os.getppid(), "simxen", host, library), int(source))
