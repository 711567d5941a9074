"""Small blocking clients of xenstored and qemu, for repair."""
