"""``python -m libxlpy.cli``: the same as ``xlpy``."""

import sys

from libxlpy.cli import main

sys.exit(main())
