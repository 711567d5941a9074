"""``python -m libxlpy.cli``: the same as ``xlpy``."""

import sys

from libxlpy.cli.main import main

sys.exit(main())
