/* Requests to the host over hypervisor.sock: this library's hypercalls. */
#define _GNU_SOURCE
#include "lib_handle.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#define ANSWER_SECONDS 10 /* a host that takes longer is taken for hung: EIO */
#define MAX_FDS 4

int host_connect(int host_dir)
{
    /* Through /proc: sun_path holds 108 bytes, a host directory's path may be longer. */
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof address.sun_path, "/proc/self/fd/%d/hypervisor.sock",
             host_dir);
    struct timeval limit = {.tv_sec = ANSWER_SECONDS};
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit) == 0 &&
        setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit) == 0) {
        int rc;
        do
            rc = connect(fd, (struct sockaddr *)&address, sizeof address);
        while (rc != 0 && errno == EINTR);
        if (rc == 0)
            return fd;
    }
    int saved = errno;
    close(fd);
    errno = saved;
    return -1;
}

static int send_request(int sock, const struct simxen_request *request)
{
    ssize_t n;
    do
        n = send(sock, request, sizeof *request, MSG_NOSIGNAL);
    while (n < 0 && errno == EINTR);
    return n == (ssize_t)sizeof *request ? 0 : -1;
}

union fd_space {
    struct cmsghdr header;
    char bytes[CMSG_SPACE(MAX_FDS * sizeof(int))];
};

/* Take the descriptors of a message; more than MAX_FDS were already closed by the kernel. */
static unsigned take_fds(struct msghdr *message, int *fds)
{
    unsigned count = 0;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c != NULL; c = CMSG_NXTHDR(message, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
            continue;
        unsigned n = (unsigned)((c->cmsg_len - CMSG_LEN(0)) / sizeof(int));
        for (unsigned i = 0; i < n && count < MAX_FDS; i++, count++)
            memcpy(&fds[count], CMSG_DATA(c) + i * sizeof(int), sizeof(int));
    }
    return count;
}

/* One whole reply, with exactly `expected` descriptors if it is a success and none if not. */
static int receive_reply(int sock, struct simxen_reply *reply, int *fds, unsigned expected)
{
    union fd_space space;
    int got[MAX_FDS];
    struct iovec iov = {.iov_base = reply, .iov_len = sizeof *reply};
    struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &space,
                             .msg_controllen = sizeof space};
    ssize_t n;
    do
        n = recvmsg(sock, &message, MSG_CMSG_CLOEXEC);
    while (n < 0 && errno == EINTR);
    unsigned count = n < 0 ? 0 : take_fds(&message, got);
    int whole = n == (ssize_t)sizeof *reply && !(message.msg_flags & (MSG_TRUNC | MSG_CTRUNC));
    if (whole && count == (reply->retval < 0 ? 0 : expected)) {
        memcpy(fds ? fds : got, got, count * sizeof(int));
        return 0;
    }
    while (count > 0)
        close(got[--count]);
    return -1;
}

static int exchange(xc_interface *xch, const struct simxen_request *request,
                    struct simxen_reply *reply, int *fds, unsigned nr_fds)
{
    if (xch->sock < 0)
        xch->sock = host_connect(xch->host_dir);
    if (xch->sock < 0)
        return -1;
    if (send_request(xch->sock, request) == 0 && receive_reply(xch->sock, reply, fds, nr_fds) == 0)
        return 0;
    /* A late answer would be taken for the next request's: never use this connection again. */
    close(xch->sock);
    xch->sock = -1;
    return -1;
}

int host_call(xc_interface *xch, const struct simxen_request *request, struct simxen_reply *reply,
              int *fds, unsigned nr_fds)
{
    pthread_mutex_lock(&xch->lock);
    int rc = exchange(xch, request, reply, fds, nr_fds);
    pthread_mutex_unlock(&xch->lock);
    if (rc != 0) {
        errno = EIO;
        return -1;
    }
    if (reply->retval < 0)
        errno = reply->errnoval > 0 ? reply->errnoval : EIO;
    return reply->retval;
}

int host_simple(xc_interface *xch, uint32_t op, uint32_t domid, uint64_t arg)
{
    struct simxen_request request = {.op = op, .domid = domid, .arg = {arg}};
    struct simxen_reply reply;
    return host_call(xch, &request, &reply, NULL, 0) < 0 ? -1 : 0;
}
