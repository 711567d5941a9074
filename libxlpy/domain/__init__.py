"""One domain, as hypervisor, xenstored, device model and toolstack have it."""
