/* Exact I/O. One rule: after any interruption or short transfer, go on with the very next byte.
 *
 * An abort puts a dead descriptor under the stream's number and then interrupts us, so each
 * round must make a fresh system call on the same number: it then fails, and so do we. */
#define _GNU_SOURCE
#include "lib_io.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>

#define PIPE_SIZE (1 << 20)

int io_again(int fd, short events)
{
    if (errno == EINTR)
        return 0;
    if (errno != EAGAIN)
        return -1;
    struct pollfd p = {.fd = fd, .events = events};
    (void)poll(&p, 1, -1); /* whatever it says, the next call tells the truth */
    return 0;
}

/* Drop n moved bytes from the front; returns the vectors left. */
static int consume(struct iovec **vector, int count, size_t n)
{
    while (count > 0 && n >= (*vector)->iov_len) {
        n -= (*vector)->iov_len;
        (*vector)++;
        count--;
    }
    if (count > 0) {
        (*vector)->iov_base = (char *)(*vector)->iov_base + n;
        (*vector)->iov_len -= n;
    }
    return count;
}

typedef ssize_t transfer_fn(int fd, const struct iovec *vector, int count);

static int move(transfer_fn *transfer, int fd, short events, struct iovec *vector, int count)
{
    count = consume(&vector, count, 0); /* empty vectors at the front would look like EOF */
    while (count > 0) {
        ssize_t n = transfer(fd, vector, count < IO_VECTOR_MAX ? count : IO_VECTOR_MAX);
        if (n < 0) {
            if (io_again(fd, events) != 0)
                return -1;
            continue;
        }
        if (n == 0) {
            errno = 0;
            return -1;
        }
        count = consume(&vector, count, (size_t)n);
    }
    return 0;
}

int io_write_vector(int fd, struct iovec *vector, int count)
{
    return move(writev, fd, POLLOUT, vector, count);
}

int io_read_vector(int fd, struct iovec *vector, int count)
{
    return move(readv, fd, POLLIN, vector, count);
}

int io_write(int fd, const void *data, size_t size)
{
    struct iovec vector = {.iov_base = (void *)(uintptr_t)data, .iov_len = size};
    return io_write_vector(fd, &vector, 1);
}

int io_read(int fd, void *data, size_t size)
{
    struct iovec vector = {.iov_base = data, .iov_len = size};
    return io_read_vector(fd, &vector, 1);
}

void io_prepare_pipe(int fd)
{
    int size = fcntl(fd, F_GETPIPE_SZ); /* fails on anything else */
    if (size > 0 && size < PIPE_SIZE)
        (void)fcntl(fd, F_SETPIPE_SZ, PIPE_SIZE); /* refused over the user's quota: only slower */
}
