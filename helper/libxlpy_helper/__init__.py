"""The privileged helper: one process per save or restore, ``-m libxlpy_helper``."""
