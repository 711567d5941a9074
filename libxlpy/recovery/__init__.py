"""Who has a domain, and what is done about jobs whose process died."""
