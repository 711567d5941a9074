"""libxlpy-save-helper on the fake libxenguest: HOST LIBRARY, then libxl's argv."""

import os
import sys

from libxlpy_helper.dropin.process import serve
from libxlpy_helper.options import Options

serve(sys.argv[3:], Options(os.getppid(), "simxen", sys.argv[1], sys.argv[2]))
