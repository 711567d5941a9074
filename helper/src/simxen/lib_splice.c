/* Moving pages between memory and the stream inside the kernel, by way of a pipe of our own.
 *
 * Two ends of a pipe exclude each other while one copies, but buffers go from pipe to pipe
 * without copying: with the relay between, we copy while the peer works on the stream.
 * Into a memfd: the kernel allocates each page and copies over it; no fault, no zeroing. Out of a
 * memfd into a regular file: the page cache is filled without our page tables. Never out of a
 * memfd into a pipe or socket: those would keep references to pages that the guest may change. */
#define _GNU_SOURCE
#include "lib_io.h"
#include "simxen.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdatomic.h>
#include <unistd.h>

#define RELAY_SIZE (1 << 20)
#define SMALLEST_PIPE 4096u

static _Atomic uint64_t spliced; /* read by other threads for their heartbeats */

uint64_t simxen_spliced(void)
{
    return atomic_load_explicit(&spliced, memory_order_relaxed);
}

void relay_open(struct relay *relay)
{
    int ends[2];
    *relay = (struct relay){.read_end = -1, .write_end = -1};
    if (pipe2(ends, O_CLOEXEC) != 0)
        return; /* no descriptors left: only slower */
    relay->read_end = ends[0];
    relay->write_end = ends[1];
    (void)fcntl(ends[1], F_SETPIPE_SZ, RELAY_SIZE); /* refused over the user's quota */
    int size = fcntl(ends[1], F_GETPIPE_SZ);
    relay->size = size > 0 ? (size_t)size : SMALLEST_PIPE;
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
            errno = 0;
            return -1;
        }
        if (io_again(stream_fd, events) != 0)
            return -1;
    }
}

/* The very first try failed because this kind of descriptor can't: 1, another way is open. */
static int give_up(struct relay *relay)
{
    if (relay->proven || errno != EINVAL)
        return -1;
    relay_close(relay); /* what it holds was not written: it is still in the file */
    return 1;
}

/* A splice moves what fits, so a whole relay may be asked for. */
static size_t step(const struct relay *relay, size_t left)
{
    return left < relay->size ? left : relay->size;
}

/* Hand over what is in the relay. Bytes not handed over, 0 when all were. */
static size_t empty(struct relay *relay, int to, loff_t *to_at, size_t bytes, int stream_fd,
                    short events)
{
    while (bytes > 0) {
        ssize_t n = some(relay->read_end, NULL, to, to_at, bytes, stream_fd, events);
        if (n < 0)
            break;
        relay->proven = true;
        bytes -= (size_t)n;
    }
    return bytes;
}

int relay_write(int stream_fd, struct relay *relay, struct iovec *vector, int count, size_t size)
{
    if (io_write_vector(relay->write_end, vector, count) != 0)
        return -1;
    return empty(relay, stream_fd, NULL, size, stream_fd, POLLOUT) == 0 ? 0 : -1;
}

int splice_to_file(int stream_fd, struct relay *relay, int file_fd, uint64_t offset, size_t size)
{
    loff_t at = (loff_t)offset;
    for (ssize_t n; size > 0; size -= (size_t)n) {
        n = some(stream_fd, NULL, relay->write_end, NULL, step(relay, size), stream_fd, POLLIN);
        if (n < 0)
            return give_up(relay);
        relay->proven = true;
        atomic_fetch_add_explicit(&spliced, (uint64_t)n, memory_order_relaxed);
        if (empty(relay, file_fd, &at, (size_t)n, stream_fd, POLLIN) != 0)
            return -1;
    }
    return 0;
}

int splice_from_file(int stream_fd, struct relay *relay, int file_fd, uint64_t offset, size_t size)
{
    loff_t at = (loff_t)offset;
    for (ssize_t n; size > 0; size -= (size_t)n) {
        n = some(file_fd, &at, relay->write_end, NULL, step(relay, size), stream_fd, POLLOUT);
        if (n < 0 || empty(relay, stream_fd, NULL, (size_t)n, stream_fd, POLLOUT) != 0)
            return give_up(relay);
    }
    return 0;
}
