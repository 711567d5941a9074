/* One opened handle (xc_interface), and what every part of the library asks of it. */
#ifndef SIMXEN_LIB_HANDLE_H
#define SIMXEN_LIB_HANDLE_H

#include "lib_xen.h"

#include <pthread.h>

struct xc_interface_core {
    xentoollog_logger *logger; /* NULL: standard error */
    int host_dir;              /* O_PATH fd of the host directory: its path may be long */
    pthread_mutex_t lock;      /* one request at a time on `sock` */
    int sock;                  /* hypervisor.sock; -1 after a failed exchange: connect anew */
};

/* lib_log.c: texts and levels as libxc's; all keep errno. */
void log_at(xc_interface *xch, xentoollog_level level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void log_error(xc_interface *xch, const char *format, ...) __attribute__((format(printf, 2, 3)));
void log_errno(xc_interface *xch, const char *format, ...) __attribute__((format(printf, 2, 3)));
void report_progress(xc_interface *xch, const char *doing_what, uint64_t done, uint64_t total);

/* lib_host.c: one exchange with the host. reply->retval, with errno set when it is negative;
 * -1 and EIO when the host is silent or talks nonsense. Exactly nr_fds descriptors arrive in
 * fds[] on success, none otherwise. */
int host_connect(int host_dir);
int host_call(xc_interface *xch, const struct simxen_request *request, struct simxen_reply *reply,
              int *fds, unsigned nr_fds);
int host_simple(xc_interface *xch, uint32_t op, uint32_t domid, uint64_t arg);

/* lib_domain.c: INFO of one domain, -1 and ESRCH if there is none. */
int domain_info(xc_interface *xch, uint32_t domid, struct simxen_reply *reply);

#endif
