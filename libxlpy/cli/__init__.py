"""The command line: ``xlpy``, with names, options and exit statuses as `xl`'s."""
