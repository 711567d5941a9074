"""The control protocol between libxlpy and its helpers, and the formats both touch.

No I/O, no asyncio, no cffi: bytes in, values out. Read in this order: ``messages``,
``table`` (what may be done with each), ``states`` (who may speak when), ``session``
(one end of a conversation), then ``codec`` and ``framing`` below it. ``stream/`` (saved
domains), ``libxl/`` (what libxl's own helper speaks) and ``xenstore_wire`` (xenstore
packets) stand by themselves.
"""
