/* Moving pages between a memfd and the stream inside the kernel.
 *
 * Into a memfd: the kernel allocates each page and copies over it; no fault, no zeroing. Out of a
 * memfd into a regular file: the page cache is filled without our page tables. Never out of a
 * memfd into a pipe or socket: those would keep references to pages that the guest may change. */
#define _GNU_SOURCE
#include "lib_io.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#define RELAY_SIZE (1u << 20)

void relay_open(struct relay *relay)
{
    int ends[2];
    *relay = (struct relay){.read_end = -1, .write_end = -1};
    if (pipe2(ends, O_CLOEXEC) != 0)
        return; /* no descriptors left: only slower */
    relay->read_end = ends[0];
    relay->write_end = ends[1];
    (void)fcntl(ends[1], F_SETPIPE_SZ, RELAY_SIZE);
}

void relay_close(struct relay *relay)
{
    if (relay->read_end >= 0) {
        close(relay->read_end);
        close(relay->write_end);
    }
    relay->read_end = relay->write_end = -1;
}

/* One splice that moved something: its bytes, or -1. stream_fd is the end that may block. */
static ssize_t some(int from, loff_t *from_at, int to, loff_t *to_at, size_t size, int stream_fd,
                    short events)
{
    for (;;) {
        ssize_t n = splice(from, from_at, to, to_at, size, 0);
        if (n > 0)
            return n;
        if (n == 0) {
            errno = EPIPE;
            return -1;
        }
        if (io_again(stream_fd, events) != 0)
            return -1;
    }
}

static int from_pipe(int pipe_fd, int file_fd, loff_t *at, size_t size, int stream_fd)
{
    while (size > 0) {
        ssize_t n = some(pipe_fd, NULL, file_fd, at, size, stream_fd, POLLIN);
        if (n < 0)
            return -1;
        size -= (size_t)n;
    }
    return 0;
}

/* The very first try failed because this kind of descriptor can't: 1, another way is open. */
static int give_up(struct relay *relay)
{
    if (relay->proven || errno != EINVAL)
        return -1;
    relay_close(relay); /* what it holds was not written: it is still in the file */
    return 1;
}

static size_t step(size_t left)
{
    return left < RELAY_SIZE ? left : RELAY_SIZE;
}

int splice_to_file(int stream_fd, struct relay *relay, int file_fd, uint64_t offset, size_t size)
{
    loff_t at = (loff_t)offset;
    if (relay == NULL)
        return from_pipe(stream_fd, file_fd, &at, size, stream_fd);
    while (size > 0) {
        ssize_t n = some(stream_fd, NULL, relay->write_end, NULL, step(size), stream_fd, POLLIN);
        if (n < 0)
            return give_up(relay);
        relay->proven = true;
        if (from_pipe(relay->read_end, file_fd, &at, (size_t)n, stream_fd) != 0)
            return -1;
        size -= (size_t)n;
    }
    return 0;
}

int splice_from_file(int stream_fd, struct relay *relay, int file_fd, uint64_t offset, size_t size)
{
    loff_t at = (loff_t)offset;
    while (size > 0) {
        ssize_t n = some(file_fd, &at, relay->write_end, NULL, step(size), stream_fd, POLLOUT);
        if (n < 0)
            return give_up(relay);
        size -= (size_t)n;
        for (ssize_t done = 0, m; done < n; done += m) {
            m = some(relay->read_end, NULL, stream_fd, NULL, (size_t)(n - done), stream_fd, POLLOUT);
            if (m < 0)
                return give_up(relay);
            relay->proven = true;
        }
    }
    return 0;
}
