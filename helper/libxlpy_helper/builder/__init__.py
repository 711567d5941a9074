"""libxenlight builds a domain and restores it, in a process of its own."""
