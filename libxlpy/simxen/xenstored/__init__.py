"""A small xenstored: the tree, its watches and its transactions, on a unix socket.

``tree`` holds nodes and who may touch them, ``transactions`` isolate, ``watches`` tell,
``store`` ties them together, ``requests`` is the table of wire requests, ``connection``
is one client (a socket or a guest's agent), ``server`` is the socket.

Source: Xen, docs/misc/xenstore.txt and tools/xenstored/.
"""
