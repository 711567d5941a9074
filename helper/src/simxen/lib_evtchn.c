/* Event channels: a handle is a connection to the host of its own, which carries one channel
 * once it is bound. Closing it, also by dying, unbinds. */
#define _GNU_SOURCE
#include "lib_handle.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

struct xenevtchn_handle {
    xc_interface *xch; /* its connection becomes the channel */
};

int xc_domain_subscribe_for_suspend(xc_interface *xch, uint32_t domid, evtchn_port_t port)
{
    return host_simple(xch, SIMXEN_SUBSCRIBE, domid, port);
}

xenevtchn_handle *xenevtchn_open(xentoollog_logger *logger, unsigned open_flags)
{
    xenevtchn_handle *xce = calloc(1, sizeof *xce);
    (void)open_flags; /* no descriptor of this library is inherited */
    if (xce == NULL)
        return NULL;
    xce->xch = xc_interface_open(logger, logger, 0);
    if (xce->xch != NULL)
        return xce;
    int saved = errno;
    free(xce);
    errno = saved;
    return NULL;
}

int xenevtchn_close(xenevtchn_handle *xce)
{
    int rc = xc_interface_close(xce->xch);
    free(xce);
    return rc;
}

int xenevtchn_fd(xenevtchn_handle *xce)
{
    return xce->xch->sock;
}

xenevtchn_port_or_error_t xenevtchn_bind_interdomain(xenevtchn_handle *xce, uint32_t domid,
                                                     evtchn_port_t remote_port)
{
    struct simxen_request request = {.op = SIMXEN_BIND, .domid = domid, .arg = {remote_port}};
    struct simxen_reply reply;
    if (host_call(xce->xch, &request, &reply, NULL, 0) < 0)
        return -1;
    return (int)reply.val[0];
}

static int tell(xenevtchn_handle *xce, uint32_t what, evtchn_port_t port)
{
    struct simxen_channel_message message = {.what = what, .port = port};
    ssize_t n;
    do
        n = send(xce->xch->sock, &message, sizeof message, MSG_NOSIGNAL);
    while (n < 0 && errno == EINTR);
    return n == (ssize_t)sizeof message ? 0 : -1;
}

int xenevtchn_notify(xenevtchn_handle *xce, evtchn_port_t port)
{
    return tell(xce, SIMXEN_CHANNEL_NOTIFY, port);
}

int xenevtchn_unmask(xenevtchn_handle *xce, evtchn_port_t port)
{
    return tell(xce, SIMXEN_CHANNEL_UNMASK, port);
}

xenevtchn_port_or_error_t xenevtchn_pending(xenevtchn_handle *xce)
{
    struct simxen_channel_message message;
    ssize_t n;
    do
        n = recv(xce->xch->sock, &message, sizeof message, 0);
    while (n < 0 && errno == EINTR);
    if (n == (ssize_t)sizeof message)
        return (int)message.port;
    if (n >= 0)
        errno = EIO; /* the host is gone, or talks nonsense */
    return -1;
}
