"""The parts of `scripts/xen-rig`: a Xen host under QEMU's software emulation."""
