"""Tests that run inside a Xen dom0 (scripts/xen-rig)."""
