"""What two ends of a migration say to each other, and what each does next; no I/O."""
