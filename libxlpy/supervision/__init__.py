"""A toolstack under a supervisor that speaks sd_notify, as systemd does.

``notifier`` sends, ``service`` knows what to send and when. Importing it is up to the
program: nothing else of libxlpy looks at the environment.
"""

from libxlpy.supervision.notifier import Notifier, Supervisor
from libxlpy.supervision.service import Drained, Service

__all__ = ["Drained", "Notifier", "Service", "Supervisor"]
