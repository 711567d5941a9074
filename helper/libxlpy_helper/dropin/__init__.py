"""What libxl runs in place of its own save helper."""
