#include "evtchn.h"

#include <errno.h>

#include "symbols.h"

/* What only opening needs. */
struct opening {
    xenevtchn_open_fn *open;
    xenevtchn_fd_fn *fd;
    xenevtchn_bind_interdomain_fn *bind;
    xc_domain_subscribe_for_suspend_fn *subscribe;
};

/* libxenevtchn is found as libxenctrl is: libxenguest depends on it. */
static int find_all(void *handle, struct evtchn *evtchn, struct opening *opening)
{
    const struct symbol symbols[] = {
        { "xenevtchn_open", &opening->open },
        { "xenevtchn_fd", &opening->fd },
        { "xenevtchn_bind_interdomain", &opening->bind },
        { "xc_domain_subscribe_for_suspend", &opening->subscribe },
        { "xenevtchn_close", &evtchn->close },
        { "xenevtchn_notify", &evtchn->notify },
        { "xenevtchn_pending", &evtchn->pending },
        { "xenevtchn_unmask", &evtchn->unmask },
    };

    if (find_symbols(handle, symbols, sizeof(symbols) / sizeof(symbols[0]))) {
        errno = ENOSYS;
        return -1;
    }
    return 0;
}

static int bind_and_subscribe(struct evtchn *evtchn, const struct opening *opening,
                              xc_interface *xch, uint32_t domid, uint32_t port)
{
    evtchn->port = opening->bind(evtchn->xce, domid, port);
    if (evtchn->port < 0)
        return -1;
    return opening->subscribe(xch, domid, port) < 0 ? -1 : opening->fd(evtchn->xce);
}

int evtchn_open(struct evtchn *evtchn, const struct shim_library *library,
                xc_interface *xch, uint32_t domid, uint32_t port)
{
    struct opening opening;
    int fd, saved;

    if (find_all(library->handle, evtchn, &opening))
        return -1;
    evtchn->xce = opening.open(shim_logger(), 0);
    if (!evtchn->xce)
        return -1;
    fd = bind_and_subscribe(evtchn, &opening, xch, domid, port);
    if (fd >= 0)
        return fd;
    saved = errno;
    evtchn_close(evtchn);
    errno = saved;
    return -1;
}

int evtchn_notify(const struct evtchn *evtchn)
{
    return evtchn->notify(evtchn->xce, (evtchn_port_t)evtchn->port);
}

int evtchn_take(const struct evtchn *evtchn)
{
    return evtchn->pending(evtchn->xce) < 0 ? -1 : 0;
}

int evtchn_unmask(const struct evtchn *evtchn)
{
    return evtchn->unmask(evtchn->xce, (evtchn_port_t)evtchn->port);
}

void evtchn_close(struct evtchn *evtchn)
{
    evtchn->close(evtchn->xce);
}
