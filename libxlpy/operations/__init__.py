"""What is done to a domain, one file each, in order of execution."""
