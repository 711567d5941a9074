"""The embedded host: domains, xenstore, QMP and a hypervisor socket without Xen.

One process (``python -m libxlpy.simxen DIR``) plays hypervisor, xenstored, qemu and the
guests' kernels; the guests themselves are processes that write real shared memory, and
``libsimxen.so`` plays libxenctrl and libxenguest on the other side of
``hypervisor.sock``. ``docs/simxen.md`` says what is real here and what is simulated.

Read in this order: ``__main__`` and ``host`` (life of the host), ``directory`` (its
files), ``control`` (what users ask), ``domain`` (what a domain is), ``hypervisor``
(hypercalls), ``agent`` (a guest's kernel), ``device_model`` and ``qmp_server`` (qemu),
``xenstored``, ``faults``; ``client`` is the other side.
"""
