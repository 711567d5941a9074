"""The privileged helper: one process per save or restore. Run as ``-m libxlpy_helper``."""
