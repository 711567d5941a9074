"""Formats of saved domains: xl's header, libxl's and libxc's records, page data."""
