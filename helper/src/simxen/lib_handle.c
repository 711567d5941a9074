/* xc_interface_open and _close: a handle is a connection to one simxen host. */
#define _GNU_SOURCE
#include "lib_handle.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The only state outside handles: where the next one is opened. */
static pthread_mutex_t host_lock = PTHREAD_MUTEX_INITIALIZER;
static char host_path[PATH_MAX];

int simxen_set_host(const char *dir)
{
    if (dir == NULL || *dir == '\0' || strlen(dir) >= sizeof host_path) {
        errno = dir && *dir ? ENAMETOOLONG : EINVAL;
        return -1;
    }
    pthread_mutex_lock(&host_lock);
    memcpy(host_path, dir, strlen(dir) + 1);
    pthread_mutex_unlock(&host_lock);
    return 0;
}

static int open_host_dir(void)
{
    char path[PATH_MAX];
    pthread_mutex_lock(&host_lock);
    memcpy(path, host_path, sizeof path);
    pthread_mutex_unlock(&host_lock);
    return open(path, O_PATH | O_DIRECTORY | O_CLOEXEC); /* no host set: ENOENT */
}

xc_interface *xc_interface_open(xentoollog_logger *logger, xentoollog_logger *dombuild_logger,
                                unsigned open_flags)
{
    (void)dombuild_logger; /* we build no domains */
    (void)open_flags;      /* every handle is re-entrant, none is a dummy */
    xc_interface *xch = calloc(1, sizeof *xch);
    if (xch == NULL)
        return NULL;
    xch->logger = logger;
    xch->sock = -1;
    pthread_mutex_init(&xch->lock, NULL);
    xch->host_dir = open_host_dir();
    if (xch->host_dir >= 0)
        xch->sock = host_connect(xch->host_dir);
    if (xch->sock >= 0)
        return xch;
    log_errno(xch, "Could not obtain handle on simxen host");
    int saved = errno;
    xc_interface_close(xch);
    errno = saved;
    return NULL;
}

int xc_interface_close(xc_interface *xch)
{
    if (xch == NULL)
        return 0;
    if (xch->sock >= 0)
        close(xch->sock);
    if (xch->host_dir >= 0)
        close(xch->host_dir);
    pthread_mutex_destroy(&xch->lock);
    free(xch);
    return 0;
}
