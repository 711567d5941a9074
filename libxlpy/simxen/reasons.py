"""Why a domain shut down.

Source: Xen, xen/include/public/sched.h, SHUTDOWN_*.
"""

SHUTDOWN_POWEROFF = 0
SHUTDOWN_REBOOT = 1
SHUTDOWN_SUSPEND = 2
SHUTDOWN_CRASH = 3

#: What a fault at the suspend request shuts a guest down with.
FAULT_REASONS = {
    "crash": SHUTDOWN_CRASH,
    "reboot": SHUTDOWN_REBOOT,
    "poweroff": SHUTDOWN_POWEROFF,
}
