"""A domain moves to another host: it runs there, or here, and never in both.

``channel`` is the way to the other end, ``send`` gives a domain away, ``receive`` takes
one; what each says and does next are the tables of ``libxlpy_protocol.migration``.
"""
