"""What `xl migrate` talks to in place of a receiving host: BYTES, then stop|die.

Greets as xl does, takes some bytes of the stream, then reads no more, or ends.
"""

import os
import select
import sys

BANNER = b"xl migration receiver ready, send binary domain data.\n"

os.write(1, BANNER)
left = int(sys.argv[1])
while left > 0:
    data = os.read(0, min(left, 65536))
    if not data:
        sys.exit(0)
    left -= len(data)
if sys.argv[2] == "stop":
    poll = select.poll()
    poll.register(0, 0)  # nothing but the other end's closing
    poll.poll()
