/*
 * The event channel by which a guest can be asked to suspend, and tells that it has.
 *
 * On a handle of its own: one that is shared takes the events of others.
 */
#ifndef LIBXLPY_EVTCHN_H
#define LIBXLPY_EVTCHN_H

#include "shim.h"

struct evtchn {
    xenevtchn_close_fn *close;
    xenevtchn_notify_fn *notify;
    xenevtchn_pending_fn *pending;
    xenevtchn_unmask_fn *unmask;
    xenevtchn_handle *xce;
    int port; /* our end */
};

/* Binds the guest's `port` and has Xen notify it when the guest is suspended.  A
 * descriptor that is readable after an event, or -1 + errno and nothing is open;
 * ENOSYS: the library has no event channels. */
int evtchn_open(struct evtchn *evtchn, const struct shim_library *library,
                xc_interface *xch, uint32_t domid, uint32_t port);
int evtchn_notify(const struct evtchn *evtchn);
/* Takes an event, to be called when the descriptor is readable; there will be no
 * other before evtchn_unmask.  0 or -1 + errno. */
int evtchn_take(const struct evtchn *evtchn);
int evtchn_unmask(const struct evtchn *evtchn);
void evtchn_close(struct evtchn *evtchn);

#endif
