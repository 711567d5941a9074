"""How any operation runs, from spawn to outcome."""
